import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Event, EventBody } from '../../src/core/event.ts';
import { FileJournalStore } from '../../src/journal/file.ts';
import type { Journal } from '../../src/journal/journal.ts';
import { loadPlaybook } from '../../src/playbook/load.ts';
import { createEnvironment } from '../../src/playbook/values/environment.ts';
import { execute } from '../../src/run/engine/execute.ts';
import type { Result } from '../../src/run/engine/result.ts';
import { LineScreen } from '../../src/run/screen/lines.ts';
import { prepareRun } from '../../src/run/new-run.ts';
import type { Drivers } from '../../src/run/open.ts';
import { workplace, type Workplace } from './cli.ts';
import { dump } from './dump.ts';
import type { TestServer } from './postgres.ts';

export interface Faults {
  /** Wraps the drivers of the run, which may end the process: nothing more is written. */
  drivers?(drivers: Drivers, die: () => void): Drivers;
  journal?(journal: Journal): Journal;
  readonly signal?: AbortSignal;
  /** What happens while the gate is open. */
  gate?(shop: string, work: Workplace): Promise<void>;
  /** The process dies before this event is written: nothing more is done or written. */
  dies?(body: EventBody): boolean;
  /** What happens between the plan and the run. */
  planned?(work: Workplace): Promise<unknown>;
  /** Of blue's database. */
  readonly comment?: string;
}

export interface Ended extends Result {
  readonly work: Workplace;
  readonly shop: string;
  readonly before: readonly string[];
  readonly env: Record<string, string>;
  readonly run: string;
  readonly events: readonly Event[];
  readonly variables: Readonly<Record<string, string>>;
}

export const FIRST = 'DATABASE=blue\n';
export const SECOND = '# kept\nexport SIDE="blue" # me\n';

/** A run with three real targets, into which a fault is put. */
export async function runWith(t: ExecutionContext, server: TestServer, faults: Faults): Promise<Ended> {
  const work = await workplace(t);
  const shop = await server.database();
  await server.sql(
    `create table shops (id int primary key, name text); insert into shops select g, 'n' || g from generate_series(1, 500) g`,
    shop,
  );
  await work.file('V001__tier.sql', 'alter table shops add tier int not null default 1;\n');
  await work.file('first.env', FIRST);
  await work.file('second.env', SECOND);
  const file = await work.file(
    'playbook.yml',
    `version: 1
name: shop
blue: \${DATABASE_URL}
green: ${shop}_green
migrate: [sql: { directory: . }]
gate: ask
switch:
  targets:
    - env-file: { path: first.env, variable: DATABASE, blue: blue, green: green }
    - database-rename
    - env-file: { path: second.env, variable: SIDE, blue: blue, green: green }
`,
  );
  const env = createEnvironment({ DATABASE_URL: server.url(shop) });
  const around = { ...env, stateFolder: join(work.folder, '.cutover') };
  if (faults.comment) await server.sql(`comment on database ${shop} is '${faults.comment}'`);
  const before = await dump(server, shop);
  const { plan, drivers } = await prepareRun(await loadPlaybook(file, env), around, true);
  await faults.planned?.(work);
  const real = await new FileJournalStore(around.stateFolder).create(plan.run);
  const death = Promise.withResolvers<Result>();
  const die = (): void => death.resolve({ outcome: 'stuck', exit: 7, undone: [] });
  const mortal: Journal = {
    run: real.run,
    append(body) {
      if (!faults.dies?.(body)) return real.append(body);
      die();
      return new Promise(() => undefined);
    },
    read: () => real.read(),
    close: () => real.close(),
  };
  const journal = faults.journal?.(real) ?? mortal;
  await journal.append({ type: 'run-created', run: plan.run, operator: 'test', plan });
  const living = execute({
    plan,
    live: 'blue',
    moved: false,
    closed: undefined,
    outputs: new Map(),
    drivers: faults.drivers?.(drivers, die) ?? drivers,
    journal,
    screen: new LineScreen(() => undefined),
    signal: faults.signal ?? new AbortController().signal,
    ask: async () => {
      await faults.gate?.(shop, work);
      return { answer: 'go', by: 'test' };
    },
  });
  const result = await Promise.race([living, death.promise]);
  const events = await real.read();
  await real.close();
  await drivers.end();
  return {
    ...result,
    work,
    shop,
    before,
    env: { DATABASE_URL: server.url(shop) },
    run: plan.run,
    events,
    variables: env.variables,
  };
}

/** A process that dies before it can say that a step has begun. */
export const dyingBefore =
  (step: string) =>
  (body: EventBody): boolean =>
    body.type === 'step-started' && body.step.startsWith(step);
