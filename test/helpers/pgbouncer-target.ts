import type { ExecutionContext } from 'ava';
import type { Client } from 'pg';
import type { Target } from '../../src/core/drivers/target.ts';
import { pgbouncer as driver } from '../../src/targets/pgbouncer.ts';
import { pgbouncer, type Pooler } from './pgbouncer.ts';
import type { TestServer } from './postgres.ts';

export const openTarget = (
  pooler: Pooler,
  more: { database?: string | string[]; blue?: string } = {},
): Target =>
  driver.open(
    { admin: pooler.admin, database: more.database ?? 'shop', file: pooler.file },
    {
      folder: '/',
      database: undefined as never,
      names: { blue: more.blue ?? 'postgres', green: 'template1', previous: 'x' },
      renames: false,
      places: undefined,
      resolve: (text) => text,
    },
  );

export const line = (server: TestServer, name: string, database: string): string =>
  `${name} = host=127.0.0.1 port=${new URL(server.url()).port} dbname=${database} pool_size=4`;

export interface Subject {
  readonly pooler: Pooler;
  readonly target: Target;
  readonly client: () => Promise<Client>;
}

/** The target on a PgBouncer of its own. */
export async function pgbouncerTarget(
  t: ExecutionContext,
  lines: readonly string[],
  settings: Record<string, string> = {},
  more: { database?: string | string[]; blue?: string } = {},
): Promise<Subject> {
  const pooler = await pgbouncer(lines, settings);
  const target = openTarget(pooler, more);
  t.teardown(async () => {
    await target.end?.();
    await pooler.stop();
  });
  return {
    pooler,
    target,
    async client() {
      const client = await pooler.client('shop');
      t.teardown(() => client.end());
      return client;
    },
  };
}
