import ava, { type ExecutionContext, type TestFn } from 'ava';
import { LIVE_SETTINGS, liveScene, type LiveScene } from './live-scene.ts';
import { NEEDS_PGBOUNCER } from './pgbouncer.ts';
import { testServer, type TestServer } from './postgres.ts';

type Options = Partial<Parameters<typeof liveScene>[1]>;

/** Tests of a file that follow blue on one server, one after the other: clients write, and the machine is small. */
export interface LiveSuite {
  readonly test: Pick<TestFn, 'skip'> & TestFn;
  readonly title: (text: string) => string;
  readonly server: () => TestServer;
  readonly scene: (t: ExecutionContext, options?: Options) => Promise<LiveScene>;
  /** Everything that following could leave behind, on the whole server. */
  readonly leftovers: (database: string) => Promise<unknown[]>;
}

export function liveSuite(settings: Record<string, string> = {}): LiveSuite {
  let server: TestServer;
  ava.before(async () => {
    if (!NEEDS_PGBOUNCER)
      server = await testServer(18, {
        ...LIVE_SETTINGS,
        wal_retrieve_retry_interval: '100ms',
        max_active_replication_origins: '60',
        ...settings,
      });
  });
  ava.after.always(() => server?.stop());
  return {
    test: (NEEDS_PGBOUNCER ? ava.serial.skip : ava.serial) as LiveSuite['test'],
    title: (text) => text + NEEDS_PGBOUNCER,
    server: () => server,
    scene: (t, options = {}) => liveScene(t, { from: server, to: server, ...options }),
    leftovers: async (database) => [
      ...(await server.sql(`select slot_name from pg_replication_slots where database like '${database}%'`)),
      ...(await server.sql(`select datname from pg_database where datname like '${database}_%'`)),
    ],
  };
}
