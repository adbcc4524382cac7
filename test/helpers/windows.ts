import type { ExecutionContext } from 'ava';
import { workplace, type Workplace } from './cli.ts';
import type { TestServer } from './postgres.ts';

export const MINUTE_MS = 60_000;

/** A daily window that opened some minutes ago. */
export function opened(minutes: number, rest: string): string {
  const at = new Date(Date.now() - minutes * MINUTE_MS);
  return `{ cron: "${at.getUTCMinutes()} ${at.getUTCHours()} * * *", timezone: UTC, ${rest} }`;
}

export interface WindowScene {
  readonly work: Workplace;
  readonly name: string;
  readonly env: Record<string, string>;
}

/** A small database, and a playbook with these lines that renames it. */
export async function windowScene(
  t: ExecutionContext,
  server: TestServer,
  lines: string,
): Promise<WindowScene> {
  const work = await workplace(t);
  const name = await server.database();
  await server.sql('create table shops (id int primary key); insert into shops values (1)', name);
  await work.file(
    'playbook.yml',
    `version: 1\nname: shop\nblue: \${DATABASE_URL}\n${lines}\ngate: open\nswitch: { targets: [database-rename] }\n`,
  );
  return { work, name, env: { DATABASE_URL: server.url(name) } };
}
