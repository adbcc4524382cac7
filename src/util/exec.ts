import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import type { Readable } from 'node:stream';
import { formatDuration } from './units.ts';

interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

export interface ExecOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds until the whole process group is ended. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
  /** Gets each line of output as it comes. */
  onLine?(line: string): void;
}

export interface ExecResult {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly timedOut: boolean;
  /** Standard output and error in the order in which they came; the last 64 kB. */
  readonly output: string;
  readonly ms: number;
}

/** `failed with exit code 3`; undefined when the command did what it should. */
export function failureOf({ code, signal, timedOut }: ExecResult, timeout: number): string | undefined {
  if (timedOut) return `was ended after ${formatDuration(timeout)}`;
  if (code === undefined) return `was ended by ${signal ?? 'a signal'}`;
  return code === 0 ? undefined : `failed with exit code ${code}`;
}

/** A line that the playbook's author wrote for a shell. */
export const shellLine = (line: string): Command => ({ file: '/bin/sh', args: ['-c', line] });

/** The one place that starts a process. */
export const start = (command: Command, options: SpawnOptions): ChildProcess =>
  spawn(command.file, [...command.args], { ...options, shell: false });

const OUTPUT_LIMIT = 64 * 1024;
const GRACE_MS = 5000;
/** How long output is read on when nothing of the group is left: a daemon that left it may hold the pipes for good. */
const DRAIN_MS = 1000;
const POLL_MS = 100;
/** A timer that is set for longer fires at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** Runs a command to its end. It gets a process group of its own, so that nothing it started is left behind. */
export async function run(command: Command, options: ExecOptions): Promise<ExecResult> {
  const started = performance.now();
  const child = start(command, {
    cwd: options.cwd,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  let rest = '';
  const take = (chunk: string): void => {
    output = (output + chunk).slice(-OUTPUT_LIMIT);
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) options.onLine?.(line);
  };
  child.stdout?.setEncoding('utf8').on('data', take);
  child.stderr?.setEncoding('utf8').on('data', take);

  let timedOut = false;
  const timers: NodeJS.Timeout[] = [];
  const killGroup = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // The group is gone already.
    }
  };
  const end = (): void => {
    killGroup('SIGTERM');
    timers.push(setTimeout(killGroup, GRACE_MS, 'SIGKILL'));
  };
  if (options.timeout !== undefined) {
    timers.push(
      setTimeout(
        () => {
          timedOut = true;
          end();
        },
        Math.min(options.timeout, LONGEST_MS),
      ),
    );
  }
  options.signal?.addEventListener('abort', end, { once: true });
  if (options.signal?.aborted) end();
  try {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => {
        const look = setInterval(() => {
          if (isGroupAlive(child)) return;
          clearInterval(look);
          timers.push(setTimeout(letGo, DRAIN_MS, child));
        }, POLL_MS);
        timers.push(look);
      });
      child.once('close', (...ended) => resolve(ended));
    });
    if (rest !== '') options.onLine?.(rest);
    killGroup('SIGKILL');
    return {
      code: code ?? undefined,
      signal: signal ?? undefined,
      timedOut,
      output,
      ms: performance.now() - started,
    };
  } finally {
    for (const timer of timers) clearTimeout(timer);
    options.signal?.removeEventListener('abort', end);
  }
}

export interface PipedCommand extends Command {
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs two commands, the first one's output being the other one's input; both are ended when the signal fires. `failed` is
 * the one that failed first: what becomes of the other one follows from it.
 */
export async function pipe(
  first: PipedCommand,
  second: PipedCommand,
  { signal, onBytes }: { signal: AbortSignal; onBytes: (bytes: number) => void },
): Promise<{ code: number; failed: string | undefined; output: string }> {
  const from = start(first, { env: first.env, stdio: ['ignore', 'pipe', 'pipe'] });
  const to = start(second, { env: second.env, stdio: ['pipe', 'ignore', 'pipe'] });
  let output = '';
  let bytes = 0;
  for (const { stderr } of [from, to])
    stderr?.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-OUTPUT_LIMIT)));
  from.stdout?.on('data', (chunk: Buffer) => onBytes((bytes += chunk.length)));
  from.stdout?.pipe(to.stdin!);
  // Why it reads no more it says by its end.
  to.stdin?.on('error', () => undefined);
  let failed: { readonly file: string; readonly code: number } | undefined;
  for (const [child, { file }] of [
    [from, first],
    [to, second],
  ] as const)
    child.once('exit', (code) => {
      if (code !== 0) failed ??= { file, code: code ?? 1 };
      if (child === from) return;
      // Nobody reads what the first one writes any more, and it may be waiting for that.
      from.stdout?.destroy();
      if (code !== 0) from.kill('SIGTERM');
    });
  const end = (): void => void [from.kill('SIGTERM'), to.kill('SIGTERM')];
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    await Promise.all([from, to].map(ended));
    return { code: failed?.code ?? 0, failed: failed?.file, output };
  } catch (error) {
    // One of them could not be started.
    end();
    throw error;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/**
 * Gives `work` the standard output of a command as it comes; the command is ended when `work` fails or the signal fires.
 * What it says on standard error is in `errors`, the last 64 kB.
 */
export async function read(
  command: Command,
  { env, signal }: Pick<ExecOptions, 'env' | 'signal'>,
  work: (output: Readable) => Promise<void>,
): Promise<{ code: number; errors: string }> {
  const child = start(command, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-OUTPUT_LIMIT);
  });
  const end = ended(child);
  // Heard of below; until then it has a listener.
  end.catch(() => undefined);
  const stop = (): void => void child.kill('SIGTERM');
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  let failure: unknown;
  try {
    await work(child.stdout!);
  } catch (error) {
    failure = error;
    stop();
    child.stdout?.destroy();
  }
  const code = await end.finally(() => signal?.removeEventListener('abort', stop));
  // A command that broke off is why its output could not be understood.
  if (failure !== undefined && (code === 0 || child.killed)) throw failure as Error;
  return { code, errors };
}

const ended = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });

function isGroupAlive({ pid }: ChildProcess): boolean {
  try {
    return pid !== undefined && process.kill(-pid, 0);
  } catch {
    return false;
  }
}

function letGo({ stdout, stderr }: ChildProcess): void {
  stdout?.destroy();
  stderr?.destroy();
}
