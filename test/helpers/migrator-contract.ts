import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext, TestFn } from 'ava';
import { Client } from 'pg';
import { StepError } from '../../src/core/errors.ts';
import type {
  MigrationControl,
  MigrationTarget,
  Migrator,
  SqlSession,
} from '../../src/core/drivers/migrator.ts';
import type { TestServer } from './postgres.ts';

/** A folder with these files; removed when the test ends. */
export async function folderWith(
  t: ExecutionContext,
  files: Record<string, string | Buffer>,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-migrations-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

/** A database of a test server as migrators see it. */
export function targetOn(server: TestServer, name: string): MigrationTarget {
  return { name, url: server.url(name), session: () => openSession(server.url(name)) };
}

async function openSession(connectionString: string): Promise<SqlSession> {
  const client = new Client({ connectionString });
  client.on('error', () => undefined);
  await client.connect();
  return {
    async query<R extends Record<string, unknown>>(sql: string, parameters?: readonly unknown[]) {
      const result = await client.query<R>(sql, parameters && [...parameters]);
      return Array.isArray(result) ? [] : result.rows;
    },
    destroy: () =>
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy(),
    end: () => client.end(),
  };
}

export interface Recorder extends MigrationControl {
  readonly notes: string[];
}

/** A control that writes down its progress as `done/total note`. */
export function control(signal: AbortSignal = new AbortController().signal): Recorder {
  const notes: string[] = [];
  return {
    signal,
    notes,
    progress: (done, total, note) =>
      void notes.push(`${done}/${total}${note === undefined ? '' : ` ${note}`}`),
  };
}

export interface ContractCase {
  readonly name: string;
  /** The tool knows what is applied: a second run does nothing. */
  readonly knowsStatus: boolean;
  /** What failed must not be there: the tool works in transactions. */
  readonly transactional: boolean;
  /** A migrator that runs these statements. */
  open(t: ExecutionContext, statements: readonly string[]): Promise<Migrator>;
}

const everything = (error: unknown): string =>
  error instanceof StepError
    ? [error.message, error.where, error.detail, error.hint, String(error.cause)].join('\n')
    : String(error);

/** What every migrator promises, against a real server. */
export function migratorContract(test: TestFn, server: () => TestServer, subject: ContractCase): void {
  const { name } = subject;
  const there = async (database: string, relation: string): Promise<boolean> => {
    const [row] = await server().sql<{ there: boolean }>(
      `select to_regclass('${relation}') is not null as there`,
      database,
    );
    return row!.there;
  };
  const target = async (): Promise<MigrationTarget> => targetOn(server(), await server().database());

  test(`${name}: planning writes nothing, applying brings the database forward`, async (t) => {
    const green = await target();
    const migrator = await subject.open(t, ['create table a (id int)', 'insert into a values (1), (2)']);
    const plan = await migrator.plan(green);
    t.true(plan.does.length > 0);
    for (const file of plan.files) t.regex(file.sha256, /^[0-9a-f]{64}$/);
    const [before] = await server().sql<{ count: number }>(
      `select count(*)::int as count from pg_class where relnamespace = 'public'::regnamespace`,
      green.name,
    );
    t.is(before!.count, 0);
    t.true((await migrator.apply(green, control())).length > 0);
    t.deepEqual(await server().sql('select id from a order by 1', green.name), [
      { id: 1 },
      { id: 2 },
    ] as never);
  });

  test(`${name}: a second apply does nothing, where the tool knows what is applied`, async (t) => {
    const green = await target();
    const migrator = await subject.open(t, [
      'create table if not exists a (id int)',
      'insert into a values (1)',
    ]);
    await migrator.apply(green, control());
    await migrator.apply(green, control());
    const rows = await server().sql('select id from a', green.name);
    t.is(rows.length, subject.knowsStatus ? 1 : 2);
    const status = await migrator.status(green);
    t.is(status === undefined, !subject.knowsStatus);
    t.true(status?.every(({ state }) => state === 'applied') ?? true);
  });

  test(`${name}: a failure is a StepError with a hint, and leaves no half of a transaction`, async (t) => {
    const green = await target();
    const migrator = await subject.open(t, [
      'create table a (id int)',
      'select wrong from a',
      'create table b (id int)',
    ]);
    const error = await t.throwsAsync(migrator.apply(green, control()), { instanceOf: StepError });
    t.truthy(error.hint);
    t.regex(everything(error), /wrong/);
    t.false(await there(green.name, 'b'));
    if (subject.transactional) t.false(await there(green.name, 'a'));
  });

  test(`${name}: secrets are in no error and no progress`, async (t) => {
    const green = await target();
    const password = new URL(green.url).password;
    const migrator = await subject.open(t, [
      `do $$ begin raise exception 'connect with ${green.url} or ${password}'; end $$`,
    ]);
    const recorder = control();
    const error = await t.throwsAsync(migrator.apply(green, recorder), { instanceOf: StepError });
    t.regex(everything(error), /connect with/);
    t.false(everything(error).includes(password));
    t.false(recorder.notes.join('\n').includes(password));
  });

  test(`${name}: an abort is honoured before it begins and while it works`, async (t) => {
    const green = await target();
    const reason = new Error('enough');
    const slow = await subject.open(t, [
      'create table a (id int)',
      'select pg_sleep(30)',
      'create table b (id int)',
    ]);
    t.is(await t.throwsAsync(slow.apply(green, control(AbortSignal.abort(reason)))), reason);
    t.false(await there(green.name, 'a'));

    const controller = new AbortController();
    const started = performance.now();
    const applying = slow.apply(green, control(controller.signal));
    setTimeout(() => controller.abort(reason), 700);
    t.is(await t.throwsAsync(applying), reason);
    t.true(performance.now() - started < 20_000);
    t.false(await there(green.name, 'b'));
    if (subject.transactional) t.false(await there(green.name, 'a'));
  });
}
