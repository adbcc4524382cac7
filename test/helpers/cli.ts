import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Event } from '../../src/core/event.ts';
import { FileJournalStore } from '../../src/journal/file.ts';
import { runToShow } from '../../src/commands/shared/surroundings.ts';
import type { RunState } from '../../src/journal/fold.ts';

export const root = new URL('../../', import.meta.url).pathname;
export const source = join(root, 'src/cli.ts');
/** `npm test` runs what is built; a test file by itself, what is in src. */
export const cli = join(root, process.env['CUTOVER_TEST_CLI'] ?? 'src/cli.ts');

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface Workplace {
  readonly folder: string;
  /** Writes a file into the folder and gives its path. */
  file(name: string, content: string): Promise<string>;
  /** Runs `cutover` in the folder, without a terminal. */
  cutover(args: readonly string[], env?: Record<string, string>): Promise<Outcome>;
  /** Starts it and leaves it running; `done` gives the outcome. */
  start(
    args: readonly string[],
    env?: Record<string, string>,
  ): { child: ChildProcess; done: Promise<Outcome> };
}

/** A folder of its own for one test, removed afterwards. */
export async function workplace(t: Pick<ExecutionContext, 'teardown'>): Promise<Workplace> {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-test-work-'));
  // The account of an embedded server must be able to walk in.
  await chmod(folder, 0o755);
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const start: Workplace['start'] = (args, env = {}) => {
    const { CI: _ci, NO_COLOR: _noColor, FORCE_COLOR: _force, ...inherited } = process.env;
    const child = spawn(process.execPath, ['--', cli, ...args], {
      cwd: folder,
      // Compiled once for all the processes of the tests.
      env: { ...inherited, NODE_COMPILE_CACHE: join(tmpdir(), 'cutover-test-compile-cache'), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (err += chunk));
    const done = new Promise<Outcome>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve({ code, signal, out, err }));
    });
    return { child, done };
  };
  return {
    folder,
    async file(name, content) {
      const path = join(folder, name);
      await writeFile(path, content);
      return path;
    },
    cutover: (args, env) => start(args, env).done,
    start,
  };
}

/** What the journal of the newest run has. */
export async function eventsOf({ folder }: Pick<Workplace, 'folder'>): Promise<Event[]> {
  const store = new FileJournalStore(join(folder, '.cutover'));
  return store.read((await store.list()).at(-1)!);
}

export type Status = RunState & { readonly writer: string | null };

/**
 * The run that is shown, as its journal has it, and who works on it; undefined without one. What `status --json` says, for those
 * who ask often, without a process for each answer.
 */
export async function statusIn({ folder }: Pick<Workplace, 'folder'>): Promise<Status | undefined> {
  const store = new FileJournalStore(join(folder, '.cutover'));
  // As the command would end with an error then.
  const state = await runToShow(store).catch(() => undefined);
  return state && { ...state, writer: (await store.writer(state.run)) ?? null };
}
