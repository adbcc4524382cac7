import type { SequenceState } from '../../../core/database/catalog.ts';
import { quotePath } from '../../../util/sql.ts';
import type { Ask } from '../catalog/catalog.ts';
import { notOfExtension, userSchema } from '../catalog/sql.ts';

/** Sequences a query: long UNIONs are slow to plan, many queries slow to send. */
const CHUNK = 200;

/** Where every sequence of the user's stands. */
export async function readSequences(ask: Ask): Promise<SequenceState[]> {
  const list = await ask(
    `select n.nspname as schema, c.relname as name, s.seqincrement as increment from pg_sequence s
     join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
     where ${userSchema('n')} and ${notOfExtension('pg_class', 'c.oid')}
     order by n.nspname collate "C", c.relname collate "C"`,
  );
  const found: SequenceState[] = [];
  for (let start = 0; start < list.length; start += CHUNK) {
    const chunk = list.slice(start, start + CHUNK);
    const states = await ask(
      chunk
        .map((row, index) => {
          const path = quotePath([row['schema']!, row['name']!]);
          return `select ${index} as index, last_value, is_called from ${path}`;
        })
        .join(' union all '),
    );
    for (const state of states) {
      const row = chunk[Number(state['index'])]!;
      found[start + Number(state['index'])] = {
        path: [row['schema']!, row['name']!],
        lastValue: BigInt(state['last_value']!),
        isCalled: state['is_called'] === 't',
        increment: BigInt(row['increment']!),
      };
    }
  }
  return found;
}
