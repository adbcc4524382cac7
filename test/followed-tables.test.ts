import test from 'ava';
import { toFollow, type TableFacts } from '../src/databases/postgres/live/objects/tables.ts';

const table = (schema: string, name: string, columns: readonly string[] = ['id', 'plan']): TableFacts => ({
  path: [schema, name],
  columns,
  identity: ['id'],
  full: false,
  nothing: false,
  incomparable: [],
  logged: true,
});

const followed = (dropped: readonly string[], ...tables: TableFacts[]): string[] =>
  toFollow(tables, dropped, false).map(
    ({ path, columns }) => `${path.join(' ')}${columns ? `: ${columns.join(' ')}` : ''}`,
  );

test('what the playbook says that migrations drop is not followed, however its name is written', (t) => {
  const shops = table('public', 'shops');
  for (const name of ['public.shops.plan', 'shops.plan', 'Shops.PLAN', '"public"."shops"."plan"'])
    t.deepEqual(followed([name], shops), ['public shops: id'], name);
  for (const name of ['public.shops', 'shops', '"shops"']) t.deepEqual(followed([name], shops), [], name);
  const odd = table('Ünï', 'order', ['id', 'Legacy "x"']);
  t.deepEqual(followed(['"Ünï"."order"."Legacy ""x"""'], odd), ['Ünï order: id']);
  t.deepEqual(followed(['"Ünï".order'], odd), []);
});

test('a schema that is dropped goes with its tables, and nothing else does', (t) => {
  const tables = [table('old', 'a'), table('old', 'b'), table('public', 'a')];
  t.deepEqual(followed(['old'], ...tables), ['public a']);
  t.deepEqual(followed(['old.a', 'function old(int)', 'other.a'], ...tables), ['old b', 'public a']);
});
