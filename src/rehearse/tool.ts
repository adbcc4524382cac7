import type { Event } from '../core/event.ts';
import { run, start } from '../util/exec.ts';
import { redact } from '../util/redact.ts';

/** How a command of the tool went, in a process of its own. */
export interface Told {
  /** As it would be typed, without what belongs to the stage. */
  readonly words: readonly string[];
  /** Undefined when a signal ended it. */
  readonly code: number | undefined;
  /** By `performance.now()`. */
  readonly from: number;
  readonly to: number;
  /** The end of what it said, without secrets. */
  readonly output: string;
}

export interface ToolOptions {
  /** The program's own file. */
  readonly self: string;
  readonly folder: string;
  readonly state: string;
  readonly env: Readonly<Record<string, string>>;
  readonly tools: string | undefined;
  readonly signal: AbortSignal;
}

/** The tool itself, as a person would call it. */
export class Tool {
  readonly told: Told[] = [];
  readonly #options: ToolOptions;

  constructor(options: ToolOptions) {
    this.#options = options;
  }

  /** Runs a command and kills it, as a power cut would, once an event is there. Says whether it was. */
  async killed(words: readonly string[], at: (event: Event) => boolean): Promise<boolean> {
    const { folder, env, signal } = this.#options;
    const child = start(this.#command(words), {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
      signal,
    });
    let rest = '';
    child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const event of lines.map(eventOf)) if (event && at(event)) child.kill('SIGKILL');
    });
    const ended = await new Promise<string | null>((resolve, reject) => {
      // An error of a signal's is that of the signal, below.
      child.once('error', (error) => (signal.aborted ? resolve(null) : reject(error)));
      child.once('exit', (_code, by) => resolve(by));
    });
    signal.throwIfAborted();
    return ended === 'SIGKILL';
  }

  #command(words: readonly string[]): { file: string; args: string[] } {
    const { self, state, tools } = this.#options;
    const flags = ['--no-color', '--state', state, ...(tools === undefined ? [] : ['--tools', tools])];
    return { file: process.execPath, args: ['--', self, ...flags, ...words] };
  }

  async call(words: readonly string[], onEvent?: (event: Event) => void): Promise<Told> {
    const { folder, env, signal } = this.#options;
    const from = performance.now();
    const lines: string[] = [];
    const ended = await run(this.#command(words), {
      cwd: folder,
      env,
      signal,
      onLine(line) {
        const event = onEvent && eventOf(line);
        if (event) onEvent(event);
        else lines.push(line);
      },
    });
    const told = {
      words: words.filter((word) => word !== '--json' && word !== '--yes'),
      code: ended.code,
      from,
      to: performance.now(),
      output: redact(lines.slice(-60).join('\n')),
    };
    this.told.push(told);
    signal.throwIfAborted();
    return told;
  }
}

function eventOf(line: string): Event | undefined {
  if (!line.startsWith('{"')) return undefined;
  try {
    return JSON.parse(line) as Event;
  } catch {
    return undefined;
  }
}
