import { randomBytes } from 'node:crypto';
import { percent } from '../../checks/rows/print-checksums.ts';
import { cancellable } from '../../databases/postgres/cancellable.ts';
import { addSecret } from '../../util/redact.ts';
import { displayPath, quoteIdentifier } from '../../util/sql.ts';
import { formatCount, plural } from '../../util/units.ts';
import { closeUpwards } from './closure.ts';
import { positionOf, writeFixture, type Parts } from './export.ts';
import { intoFolder, refuseUsed } from './folder.ts';
import { chooseMasks, type Masks, type Wishes } from './mask/choose.ts';
import { fromOf, holders, nameOf, rootOf, type Model, type SourceTable } from './model.ts';
import { readSchema, refuseOldTools } from './schema.ts';
import { hintFor, Source, unreadable } from './source.ts';
import { ProofStage } from './stage.ts';

export interface Sampling {
  /** Of the source; secret. */
  readonly url: string;
  readonly database: string;
  /** Where the fixture goes. */
  readonly out: string;
  /** Of the rows of large tables: more than 0, at most 1. */
  readonly share: number;
  readonly seed: number;
  /** Of the masks; secret. Undefined makes one for this fixture alone. */
  readonly key: string | undefined;
  readonly wishes: Wishes;
  /** Folder of pg_dump; otherwise it is looked for on PATH. */
  readonly tools: string | undefined;
  /** Connection string of a server for tests, secret; otherwise one is started. */
  readonly server: string | undefined;
  readonly signal: AbortSignal;
  readonly progress: (line: string) => void;
}

/** How many of a table's rows are in the fixture. */
interface Taken {
  readonly table: string;
  readonly taken: number;
  readonly of: number;
  /** Counted; otherwise `of` is the server's idea. */
  readonly exact: boolean;
}

export interface Sampled {
  readonly out: string;
  readonly database: string;
  readonly version: string;
  /** Of the server that proved it. */
  readonly major: number;
  readonly share: number;
  readonly seed: number;
  /** Whether the masks would be the same another time. */
  readonly repeatable: boolean;
  readonly tables: readonly Taken[];
  readonly masked: readonly string[];
  /** What of the database is not in the fixture, a line each. */
  readonly left: readonly string[];
}

/** Smaller tables are taken whole. */
const WHOLE_BELOW = 1000;

/**
 * Makes a fixture of a real database: the schema whole, small tables whole, a sample of large ones with every row that these
 * refer to, and masks in place of personal data. The source is only read. What is in the folder was proved on a server of its own.
 */
export async function sample(sampling: Sampling): Promise<Sampled> {
  await refuseUsed(sampling.out);
  const key = sampling.key ?? randomBytes(32).toString('hex');
  addSecret(key);
  const source = await Source.open({ ...sampling, key });
  try {
    return await cancellable(source.connection, source.address, sampling.signal, () =>
      fromSource(sampling, source),
    );
  } finally {
    await source.end();
  }
}

async function fromSource(sampling: Sampling, source: Source): Promise<Sampled> {
  const { tools, signal, database, wishes, progress } = sampling;
  await refuseOldTools(source, tools);
  const masks = chooseMasks(source.model, wishes);
  progress(`reading the schema of ${database}, PostgreSQL ${source.version}`);
  const schema = await readSchema(source, database, tools, signal);
  if (sampling.server === undefined) progress('starting a server on which the fixture is proved');
  const stage = await ProofStage.open(source, sampling.server);
  const letGo = (): void => stage.connection.destroy('interrupted');
  signal.addEventListener('abort', letGo, { once: true });
  try {
    signal.throwIfAborted();
    return await onStage(sampling, source, stage, masks, schema);
  } finally {
    signal.removeEventListener('abort', letGo);
    await stage.end();
  }
}

async function onStage(
  sampling: Sampling,
  source: Source,
  stage: ProofStage,
  masks: Masks,
  schema: Parts['schema'],
): Promise<Sampled> {
  const { out, database, share, seed, progress, signal } = sampling;
  const { model } = source;
  const hint = 'the server that comes with the tool lacks something that the schema needs';
  await stage.execute(schema.before, 'the schema cannot be made on the stage', () => hint);
  const sizes = new Map<SourceTable, Pick<Taken, 'of' | 'exact'>>();
  for (const table of holders(model)) {
    const { rows, exact } = await source.size(table, WHOLE_BELOW);
    sizes.set(table, { of: rows, exact });
    const taken = rows === 0 ? 0 : await take(sampling, source, stage, masks, table, rows < WHOLE_BELOW);
    progress(`${nameOf(table)}: ${formatCount(taken)} of ${exact ? '' : 'about '}${plural(rows, 'row')}`);
  }
  const orphans = await closeUpwards({ source, stage, masks, signal, progress });
  progress('proving it: keys, constraints and indexes');
  await stage.execute(schema.after, 'the rows that were taken do not keep the schema', hintFor);
  const finish = [...(await source.sequences()).map(positionOf), ...schema.refresh];
  await stage.execute(finish, 'the fixture cannot be brought to its end on the stage', () => hint);
  const tables: { table: SourceTable; taken: number }[] = [];
  for (const table of sizes.keys()) tables.push({ table, taken: await stage.count(fromOf(table)) });
  const masked = maskedColumns(model, masks);
  const description = `Made from the database ${database}: ${percent(share)} of large tables with what their rows refer to, seed ${seed}.`;
  progress('writing the fixture');
  await intoFolder(out, (folder) => {
    const parts = { schema, finish, tables, database, description, seed, masked };
    return writeFixture(folder, stage, parts).finally(() => signal.throwIfAborted());
  });
  return {
    out,
    database,
    version: source.version,
    major: stage.major,
    share,
    seed,
    repeatable: sampling.key !== undefined,
    tables: tables.map(({ table, taken }) => ({ table: nameOf(table), taken, ...sizes.get(table)! })),
    masked,
    left: [...leftOut(model), ...orphans.map(orphanLine)],
  };
}

/** Copies the rows of a table to the stage, or those that the seed chooses. */
async function take(
  { share, seed }: Sampling,
  source: Source,
  stage: ProofStage,
  masks: Masks,
  table: SourceTable,
  whole: boolean,
): Promise<number> {
  const by = table.key.length > 0 ? table.key : table.columns.map(({ name }) => name);
  const row = `ROW(${by.map((name) => `t.${quoteIdentifier(name)}`).join(', ')})::text`;
  const below = BigInt(Math.round(share * 1e9)) * (2n ** 63n / 1_000_000_000n);
  const condition =
    whole || share === 1 ? '' : `WHERE hashtextextended(${row}, ${seed}) & 9223372036854775807 < ${below}`;
  try {
    return await stage.put(source.model, table, source.rows(table, masks, condition));
  } catch (cause) {
    throw unreadable(table, cause);
  }
}

/** Of partitions the root's, which are theirs. */
const maskedColumns = (model: Model, masks: Masks): string[] =>
  [...masks]
    .filter(([table]) => rootOf(model, table) === table)
    .flatMap(([table, columns]) => [...columns.keys()].map((name) => displayPath([...table.path, name])));

const leftOut = ({ largeObjects, foreignTables }: Model): string[] => [
  ...(largeObjects > 0 ? [plural(largeObjects, 'large object')] : []),
  ...foreignTables.map((path) => `the rows of the foreign table ${displayPath(path)}`),
];

const orphanLine = ({ key, table, keys }: { key: string; table: string; keys: number }): string =>
  `what ${plural(keys, 'key')} of ${table} refer to by ${key}: the database itself does not have it`;
