import { quoteIdentifier, quotePath } from '../../../util/sql.ts';
import type { Shape } from './shape.ts';

/** What clients do to a table, in the order of the mix. */
export const KINDS = ['reads', 'updates', 'inserts', 'deletes'] as const;
export type Kind = (typeof KINDS)[number];

/** A statement with the values of keys as parameters: of as many rows as `rows` says, one after the other. */
export interface Statement {
  readonly sql: string;
  readonly rows: 1 | 2;
}

export type Statements = Readonly<Partial<Record<Kind, Statement>>>;

export interface Derived {
  readonly statements: Statements;
  /** Why a kind, or all of them, is left out. */
  readonly without: readonly { readonly kind: Kind | 'statements'; readonly why: string }[];
}

/**
 * Statements for a table that are valid whatever its rows hold: values are only ever those that a row has. `first` is
 * the table from which statements were derived at first: what was bound there stays so, for rows go back there.
 */
export function derive(shape: Shape, first = shape): Derived {
  const why = outside(shape);
  if (why !== undefined) return { statements: {}, without: [{ kind: 'statements', why }] };
  const insert = insertFor(shape, first);
  const update = updateFor(shape, first);
  const on = `${fromOf(shape)} x`;
  const names = shape.columns.map(({ name }) => `x.${quoteIdentifier(name)}`).join(', ');
  const statements: Partial<Record<Kind, Statement>> = {
    reads: { sql: `select ${names} from ${on} where ${rowOf(shape, 'x', 0)}`, rows: 1 },
  };
  const without: Derived['without'][number][] = [];
  if (update) statements.updates = update;
  else without.push({ kind: 'updates', why: 'no column can be set' });
  if (typeof insert === 'string') without.push({ kind: 'inserts', why: insert });
  else {
    statements.inserts = insert;
    statements.deletes = { sql: `delete from ${on} where ${rowOf(shape, 'x', 0)}`, rows: 1 };
  }
  return { statements, without };
}

/** Why nothing is done to a table; undefined when something can be. */
function outside({ key, unlogged, secured, ruled, foreign, triggers }: Shape): string | undefined {
  if (key.length === 0) return 'no primary key';
  if (unlogged) return 'unlogged';
  if (secured) return 'row security';
  if (ruled) return 'it has a rule';
  if (foreign) return 'a partition is on another server';
  if (triggers.some(mayWrite)) return 'a trigger may write elsewhere';
  return undefined;
}

/** Words of statements that write, or whose effect cannot be seen from here. */
const WRITES =
  /\b(?:insert|update|delete|merge|truncate|execute|perform|call|copy|create|alter|drop|notify|nextval|setval|pg_notify|dblink\w*|lo_\w+)\b/i;

/** The server's own functions for triggers write nothing but the row. */
function mayWrite({ language, source }: Shape['triggers'][number]): boolean {
  if (language === 'internal') return false;
  if (language !== 'plpgsql') return true;
  return WRITES.test(
    source
      .replaceAll(/--.*$/gm, ' ')
      .replaceAll(/\/\*[^]*?\*\//g, ' ')
      .replaceAll(/'(?:[^']|'')*'/g, ' '),
  );
}

/** Rows of inheritance children are their own tables' rows. */
export const fromOf = ({ partitioned, path }: Pick<Shape, 'partitioned' | 'path'>): string =>
  `${partitioned ? '' : 'only '}${quotePath(path)}`;

/** The row whose key stands in the parameters after the first so many. */
const rowOf = ({ key, columns }: Shape, alias: string, after: number): string =>
  key
    .map((name, index) => {
      const { cast } = columns.find((column) => column.name === name)!;
      return `${alias}.${quoteIdentifier(name)} = $${after + index + 1}::${quotePath(cast)}`;
    })
    .join(' and ');

/** Of another row where nothing depends on the column, and otherwise of itself. */
function updateFor(shape: Shape, first: Shape): Statement | undefined {
  const settable = shape.columns.filter(({ generated, identity }) => !generated && !identity);
  const before = new Map(first.columns.map((column) => [column.name, column]));
  const free = settable.find((column) =>
    [column, before.get(column.name)].every((one) => one && !one.bound && !one.distinct && !one.fresh),
  );
  const from = fromOf(shape);
  if (free) {
    const name = quoteIdentifier(free.name);
    const rows = `${rowOf(shape, 'x', 0)} and ${rowOf(shape, 's', shape.key.length)}`;
    return { sql: `update ${from} x set ${name} = s.${name} from ${from} s where ${rows}`, rows: 2 };
  }
  const column = settable.find(({ name }) => !shape.key.includes(name)) ?? settable[0];
  if (!column) return undefined;
  const name = quoteIdentifier(column.name);
  return { sql: `update ${from} x set ${name} = x.${name} where ${rowOf(shape, 'x', 0)}`, rows: 1 };
}

/** A copy of a row under a key that nobody has; or why there is none. */
function insertFor(shape: Shape, first: Shape): Statement | string {
  const why = copyless(shape) ?? copyless(first);
  if (why !== undefined) return why;
  const copied = shape.columns.filter(({ generated, fresh }) => !generated && !fresh);
  if (copied.length === 0) return 'no column but the key';
  const names = copied.map(({ name }) => quoteIdentifier(name));
  const returning = shape.key.map((name) => `${quoteIdentifier(name)}::text`).join(', ');
  const values = `select ${names.map((name) => `s.${name}`).join(', ')} from ${fromOf(shape)} s where ${rowOf(shape, 's', 0)}`;
  return {
    sql: `insert into ${quotePath(shape.path)} (${names.join(', ')}) ${values} returning ${returning}`,
    rows: 1,
  };
}

function copyless({ key, columns, uniques, exclusive }: Shape): string | undefined {
  const fresh = new Set(columns.filter((column) => column.fresh).map(({ name }) => name));
  if (!key.some((name) => fresh.has(name))) return 'the key has no default that is new every time';
  const free = (names: readonly (string | null)[]): boolean =>
    names.some((name) => name !== null && fresh.has(name));
  if (exclusive || !uniques.every(free)) return 'a constraint beside the key allows no copy';
  if (columns.some((column) => column.distinct && !column.fresh && !column.generated))
    return 'a column has no value twice, as if it were a key';
  return undefined;
}
