import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ExecutionContext } from 'ava';
import { statusIn, workplace, type Workplace } from './cli.ts';
import type { TestServer } from './postgres.ts';
import { until } from './until.ts';

export interface Application {
  readonly url: string;
  /** What it answers with, one status a look; the last one from then on. */
  readonly says: number[];
  looks: number;
}

export async function application(t: ExecutionContext, says: number[]): Promise<Application> {
  const state = { says, looks: 0 };
  const http = createServer((_request, response) => {
    response.statusCode = state.says[Math.min(state.looks, state.says.length - 1)]!;
    state.looks += 1;
    response.end();
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.teardown(() => http.close());
  return Object.assign(state, { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/` });
}

export interface BakeScene {
  readonly work: Workplace;
  readonly name: string;
  readonly env: Record<string, string>;
  readonly cutover: (args: readonly string[]) => ReturnType<Workplace['cutover']>;
}

/** A small database, and a playbook that renames it and has this bake. */
export async function bakeScene(
  t: ExecutionContext,
  server: TestServer,
  bake: string,
  more = '',
): Promise<BakeScene> {
  const work = await workplace(t);
  const name = await server.database();
  await server.sql('create table shops (id int primary key); insert into shops values (1)', name);
  await work.file('V001__made.sql', 'create table made (id int primary key);\n');
  await work.file(
    'playbook.yml',
    `version: 1\nname: shop\nblue: \${DATABASE_URL}\nmigrate: [sql: { directory: . }]\ngate: open\n${more}switch: { targets: [database-rename] }\nbake: ${bake}\n`,
  );
  const env = { DATABASE_URL: server.url(name) };
  return { work, name, env, cutover: (args) => work.cutover(args, env) };
}

/** Whether the migrated database has this name. */
export const isGreen = async (server: TestServer, name: string): Promise<boolean> =>
  String((await server.sql(`select to_regclass('public.made') is not null as made`, name))[0]!['made']) ===
  'true';

export const stateOf = async ({ work }: BakeScene) =>
  (await statusIn(work)) as unknown as {
    phase: string;
    exit: number;
    steps: Record<string, { phase: string; output?: { rounds: number } }>;
  };

export const baking = ({ work }: BakeScene): Promise<void> =>
  until('the bake', async () => (await statusIn(work))?.steps['bake']?.phase === 'running');
