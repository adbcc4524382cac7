import test, { type ExecutionContext } from 'ava';
import type { CutoverError } from '../../src/core/errors.ts';
import type { MigrationTarget, Migrator } from '../../src/core/drivers/migrator.ts';
import { migrators } from '../../src/migrators/registry.ts';
import { migratorContract, targetOn, type ContractCase } from './migrator-contract.ts';
import { testServer, type TestServer } from './postgres.ts';

const env = { PATH: process.env['PATH'] ?? '' };

/** A migrator as the playbook opens it: options parsed, then given to the driver. */
export function open(name: string, options: Record<string, unknown>, folder = '/'): Migrator {
  const driver = migrators[name]!;
  return driver.open(driver.options.parse(options), { folder, env, resolve: (text) => text });
}

type Reverting = Required<Migrator>;
export const sqlIn = (directory: string, options: Record<string, unknown> = {}): Reverting =>
  open('sql', { directory, ...options }) as Reverting;

export const failure = <E extends CutoverError>(
  t: ExecutionContext,
  work: Promise<unknown>,
  instanceOf: new (message: string) => E,
): Promise<E> => t.throwsAsync(work, { instanceOf });

/** Tests of a file that migrate databases of one server, all at the same time. */
export interface MigratorSuite {
  readonly server: Pick<TestServer, 'sql'>;
  /** What every migrator promises, of this one. */
  readonly contract: (subject: ContractCase) => void;
  /** An empty database. */
  readonly fresh: () => Promise<MigrationTarget>;
  readonly relation: (target: MigrationTarget, name: string) => Promise<boolean>;
  /** What the version table says. */
  readonly versions: (target: MigrationTarget) => Promise<string[]>;
}

export function migratorSuite(): MigratorSuite {
  let server: TestServer;
  test.before(async () => {
    server = await testServer();
  });
  test.after.always(() => server?.stop());
  return {
    server: { sql: (text, database) => server.sql(text, database) },
    contract: (subject) => migratorContract(test, () => server, subject),
    fresh: async () => targetOn(server, await server.database()),
    async relation(target, name) {
      const [row] = await server.sql<{ there: boolean }>(
        `select to_regclass('${name}') is not null as there`,
        target.name,
      );
      return row!.there;
    },
    async versions(target) {
      const rows = await server.sql('select version, status from cutover_migrations order by 1', target.name);
      return rows.map(({ version, status }) => `${version} ${status}`);
    },
  };
}
