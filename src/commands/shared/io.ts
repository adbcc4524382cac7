import type { Style } from '../../util/style.ts';

/** What a command may do with the world around the process. */
export interface CommandIo {
  /** Data goes here; a line end is added. */
  readonly out: (text: string) => void;
  /** Words for a person go here; a line end is added. */
  readonly err: (text: string) => void;
  /** For `out` and for `err`. */
  readonly outStyle: Style;
  readonly errStyle: Style;
  /** Questions may be asked: standard input and error are terminals, and this is no CI. */
  readonly interactive: boolean;
  /** A live list can be drawn on standard error. */
  readonly live: boolean;
  /** Name and host of whoever runs the tool. */
  readonly operator: string;
}

/** Options that every command has. */
export interface GlobalOptions {
  readonly state: string;
  readonly envFile?: readonly string[];
  readonly color?: boolean;
  readonly tools?: string;
}

/** Options of one command together with those of every command. */
export type Options<Own = unknown> = GlobalOptions & Own;
