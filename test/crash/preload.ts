// Loaded into the process under test before anything else. It gives a name to every effect the process has on the
// outside world, and lets a fault happen right before or right after one of them.
import childProcess from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';
import { Client } from 'pg';
import type { Order } from './order.ts';

const order = JSON.parse(process.env['CRASH_ORDER']!) as Order;
// What the process starts is not under test.
delete process.env['CRASH_ORDER'];
delete process.env['NODE_OPTIONS'];

const seen = new Map<string, number>();
let full = false;
let count = 0;

/** Names without what is another one in each scene. */
const plain = (text: string): string =>
  text
    .replaceAll(order.database, 'blue')
    .replaceAll(/\d{8}[-_]\d{6}[-_][0-9a-f]{6}/g, 'RUN')
    .replaceAll(/\d+-[0-9a-f]{8}\b/g, 'N')
    .replaceAll(/\b\d+\.[0-9a-f]{8}\b/g, 'N')
    .replaceAll(/\d{8}T?\d{6}Z?/g, 'T')
    .replaceAll(/postgres(?:ql)?:\/\/[^\s']+/g, 'URL')
    .replaceAll(/\s+/g, ' ')
    .trim();

/** Notes that a point was reached; says whether the fault belongs here. */
function reach(what: string): boolean {
  const label = plain(what).slice(0, 110);
  const occurrence = (seen.get(label) ?? 0) + 1;
  seen.set(label, occurrence);
  count += 1;
  const point = occurrence === 1 ? label : `${label} #${occurrence}`;
  if (order.record !== undefined) appendFileSync(order.record, `${JSON.stringify(point)}\n`);
  if (order.fault === undefined) return false;
  return order.nth === undefined ? point === order.point : count === order.nth;
}

async function around<T>(what: string, effect: () => Promise<T>): Promise<T> {
  const hit = reach(what);
  if (hit && order.side === 'before') await strike();
  const result = await effect();
  if (hit && order.side === 'after') await strike();
  return result;
}

async function strike(): Promise<void> {
  appendFileSync(order.struck, 'struck\n');
  switch (order.fault!) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      return new Promise(() => undefined);
    case 'server':
      process.kill(Number(readFileSync(order.postmaster, 'utf8').split('\n')[0]), 'SIGQUIT');
      return new Promise((resolve) => setTimeout(resolve, 100));
    case 'cut':
      return cut();
    case 'disk':
      full = true;
  }
}

/** The server ends every session of the tool. */
async function cut(): Promise<void> {
  const client = new Client({ connectionString: order.url });
  await client.connect();
  await query.call(
    client,
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'cutover%'`,
  );
  await client.end();
}

type Query = (this: Client, ...args: unknown[]) => unknown;
const clients = Client.prototype as unknown as { query: Query };
// oxlint-disable-next-line typescript/unbound-method -- called with the client it belongs to
const { query } = clients;
/** What only looks, or is as often as others happen to be connected, is no effect of the plan. */
const LOOKS =
  /^\s*(select|set|show|reset|begin|rollback|declare|fetch|close|with|explain|start transaction)\b/i;

clients.query = function (...args) {
  const [text] = args;
  const isEffect = typeof text === 'string' && !LOOKS.test(text) && typeof args.at(-1) !== 'function';
  if (!isEffect) return query.apply(this, args);
  return around(`sql ${text}`, () => query.apply(this, args) as Promise<unknown>);
};

const probe = await fs.open(new URL(import.meta.url));
const Handle = Object.getPrototypeOf(probe) as FileHandle;
await probe.close();

const noSpace = (): Error =>
  Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });

// oxlint-disable-next-line typescript/unbound-method -- called with the handle they belong to
const { appendFile, datasync } = Handle;
const lines = new WeakMap<FileHandle, string>();
Handle.appendFile = async function (this: FileHandle, data, ...rest) {
  if (full) throw noSpace();
  const line = data as string;
  const { type, step } = JSON.parse(line) as { type: string; step?: string };
  // Its time decides whether it is there, not the plan.
  if (type === 'step-progressed') return appendFile.call(this, data, ...rest);
  const what = `journal ${type}${step === undefined ? '' : ` ${step}`}`;
  lines.set(this, what);
  return around(`${what}, write`, async () => {
    if (full) throw noSpace();
    if (order.torn === true && order.point === `${what}, write`) {
      await appendFile.call(this, line.slice(0, line.length / 2));
      await strike();
    }
    return appendFile.call(this, data, ...rest);
  });
};
Handle.datasync = async function (this: FileHandle) {
  const what = lines.get(this);
  lines.delete(this);
  return what === undefined ? datasync.call(this) : around(`${what}, sync`, () => datasync.call(this));
};

const nameOf = (path: unknown): string => basename(path as string);
const { rename, writeFile, rm, truncate } = fs;
fs.rename = (from, to) => around(`rename ${nameOf(to)}`, () => rename(from, to));
fs.writeFile = (file, ...rest) => around(`write ${nameOf(file)}`, () => writeFile(file, ...rest));
fs.rm = (path, options) => around(`remove ${nameOf(path)}`, () => rm(path, options));
fs.truncate = (path, length) => around(`truncate ${nameOf(path)}`, () => truncate(path, length));

const { spawn } = childProcess;
childProcess.spawn = ((file: string, args: string[], options: object) => {
  // `spawn` is not asynchronous: a kill is at once, everything else at the first chance.
  const hit = reach(`start ${args.at(-1) ?? file}`);
  if (hit && order.side === 'before') void strike();
  const child = spawn(file, args, options);
  if (hit && order.side === 'after') void strike();
  return child;
}) as typeof childProcess.spawn;

syncBuiltinESMExports();
