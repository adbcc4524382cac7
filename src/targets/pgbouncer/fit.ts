import { StepError } from '../../core/errors.ts';
import type { Console } from './console.ts';
import { findEntry } from './databases-line.ts';

/** Whether PgBouncer can hold the clients of these entries, and nobody goes past them. Throws StepError. */
export async function assertFit(
  console: Console,
  entries: readonly string[],
  text: string,
  file: string,
): Promise<void> {
  const databases = await console.ask('SHOW DATABASES');
  const config = await console.ask('SHOW CONFIG');
  const mode = config.find(({ key }) => key === 'pool_mode')?.['value'];
  for (const name of entries) {
    const shown = databases.find((row) => row['name'] === name);
    if (!shown || !hasLine(text, name)) {
      throw new StepError(`PgBouncer has no database ${name} of its own`, {
        where: file,
        hint: `give it a line in [databases]: ${name} = host=… port=… dbname=…`,
      });
    }
    if ((shown['pool_mode'] ?? mode) === 'session') {
      throw new StepError(`PgBouncer's ${name} pools sessions: PAUSE would wait until every client leaves`, {
        hint: 'pool_mode = transaction; or leave the target out, and let clients connect anew',
      });
    }
    if (shown['paused'] === '1')
      throw new StepError(`PgBouncer's ${name} is paused by somebody`, { hint: `RESUME ${name}` });
  }
  // PAUSE is by entry: another one that leads to the same database would go on.
  const place = (row: (typeof databases)[number]): string =>
    JSON.stringify([row['host'], row['port'], row['database']]);
  const own = new Set(databases.filter(({ name }) => entries.includes(name ?? '')).map(place));
  const others = databases.filter((row) => own.has(place(row)) && !entries.includes(row['name'] ?? ''));
  if (others.length === 0) return;
  const names = others.map(({ name }) => name);
  throw new StepError(
    `PgBouncer leads to the same database by ${names.join(', ')}, which would not be held`,
    { hint: `name all of them: pgbouncer: { database: [${[...entries, ...names].join(', ')}], … }` },
  );
}

function hasLine(text: string, name: string): boolean {
  try {
    findEntry(text, name);
    return true;
  } catch {
    return false;
  }
}
