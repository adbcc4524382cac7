import type { ExecutionContext } from 'ava';
import type { Event } from '../../src/core/event.ts';
import { eventsOf, statusIn, workplace, type Status, type Workplace } from './cli.ts';
import { dump } from './dump.ts';
import type { TestServer } from './postgres.ts';

/** A small database of its own with a playbook around the given lines. */
export interface Shop {
  readonly work: Workplace;
  readonly name: string;
  readonly env: Record<string, string>;
  readonly before: readonly string[];
  /** The latest run, as its journal has it. */
  status(): Promise<Status>;
  /** Events of the latest run. */
  events(): Promise<Event[]>;
  /** Blue is to the letter what it was, writable, and nothing else is there. */
  assertUntouched(t: ExecutionContext): Promise<void>;
}

export async function shop(t: ExecutionContext, server: TestServer, lines: string): Promise<Shop> {
  const work = await workplace(t);
  const name = await server.database('shop');
  await server.sql(
    `create table shops as select id, 'shop ' || id as name from generate_series(1, 50) id`,
    name,
  );
  await work.file('V001__tier.sql', 'alter table shops add column tier text;\n');
  await work.file(
    'playbook.yml',
    `version: 1\nname: shop\nblue: \${DATABASE_URL}\ngreen: ${name}_green\nswitch: { targets: [database-rename] }\n${lines}\n`,
  );
  const before = await dump(server, name);
  return {
    work,
    name,
    env: { DATABASE_URL: server.url(name) },
    before,
    async status() {
      const status = await statusIn(work);
      if (!status) throw new Error('there is no run');
      return status;
    },
    events: () => eventsOf(work),
    async assertUntouched(tt) {
      tt.deepEqual(await dump(server, name), before);
      await server.sql(`begin; insert into shops values (0, 'written'); rollback`, name);
      const names = await server.sql(`select datname from pg_database where datname like '${name}%'`);
      tt.is(names.length, 1);
    },
  };
}
