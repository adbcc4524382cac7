import type { Event } from '../core/event.ts';
import { run } from '../util/exec.ts';
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

  async call(words: readonly string[], onEvent?: (event: Event) => void): Promise<Told> {
    const { self, folder, state, env, tools, signal } = this.#options;
    const flags = ['--no-color', '--state', state, ...(tools === undefined ? [] : ['--tools', tools])];
    const from = performance.now();
    const lines: string[] = [];
    const ended = await run(
      { file: process.execPath, args: ['--', self, ...flags, ...words] },
      {
        cwd: folder,
        env,
        signal,
        onLine(line) {
          const event = onEvent && eventOf(line);
          if (event) onEvent(event);
          else lines.push(line);
        },
      },
    );
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
