import type { Finding } from './drivers/check.ts';

/** What the process tells its caller; the table in docs/exit-codes.md is made of these. */
export const EXIT = {
  done: 0,
  internal: 1,
  usage: 2,
  refused: 3,
  unwound: 4,
  differences: 5,
  swappedBack: 6,
  stuck: 7,
  held: 8,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

interface ErrorDetails {
  /** What to type next, or what to change; one line or a few. */
  hint?: string | undefined;
  /** Where it happened: a file:line:col, an object, a command. */
  where?: string | undefined;
  /** More lines to print under the message: a caret, captured output. */
  detail?: string | undefined;
  cause?: unknown;
}

/** An error that was foreseen: it knows its exit code and what to do next. */
export class CutoverError extends Error {
  readonly exit: ExitCode = EXIT.unwound;
  readonly hint: string | undefined;
  readonly where: string | undefined;
  readonly detail: string | undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.hint = details.hint;
    this.where = details.where;
    this.detail = details.detail;
  }
}

/** Wrong words on the command line, or a playbook that does not validate. */
export class UsageError extends CutoverError {
  override readonly exit = EXIT.usage;
}

/** Refused before anything was touched. */
export class RefusedError extends CutoverError {
  override readonly exit = EXIT.refused;
  readonly findings: readonly Finding[];

  constructor(message: string, details: ErrorDetails & { findings?: readonly Finding[] } = {}) {
    super(message, details);
    this.findings = details.findings ?? [];
  }
}

/** A step could not do its work; the run unwinds. */
export class StepError extends CutoverError {
  override readonly exit = EXIT.unwound;
}

/** What was read so far was of a state that cannot be read any more. */
export class MovedError extends StepError {}

/** Verification found differences; the run unwinds. */
export class DifferencesError extends CutoverError {
  override readonly exit = EXIT.differences;
  readonly findings: readonly Finding[];

  constructor(message: string, findings: readonly Finding[], details: ErrorDetails = {}) {
    super(message, details);
    this.findings = findings;
  }
}

/** Somebody answered the gate with no. */
export class DeclinedError extends StepError {}

/** A target's file is as it should be, and nobody runs who reads it: whoever starts next finds it so. */
export class AwayError extends StepError {}

/** An attempt that could not be put back: clients may still be held. */
export class NotPutBack extends StepError {}

/** What is live, or what is left, could not be settled. Never retried, never undone: a person must look. */
export class StuckError extends CutoverError {
  override readonly exit = EXIT.stuck;
}

/** Green is live, and was found not to be well, or nobody looked to the end. */
export class BakeError extends CutoverError {
  override readonly exit: ExitCode;
  readonly findings: readonly Finding[];
  /** What is to follow. */
  readonly then: 'hold' | 'swap-back';

  constructor(
    message: string,
    then: BakeError['then'],
    details: ErrorDetails & { findings?: readonly Finding[]; exit?: ExitCode } = {},
  ) {
    super(message, details);
    this.then = then;
    this.exit = details.exit ?? EXIT.stuck;
    this.findings = details.findings ?? [];
  }
}

/** SIGINT or SIGTERM reached the run. */
export class InterruptedError extends CutoverError {
  override readonly exit: ExitCode;

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`interrupted by ${signal}`);
    this.exit = signal === 'SIGINT' ? EXIT.interrupted : EXIT.terminated;
  }
}

/** Others had so much to do on a server that nothing more was read there, or it could not be seen whether they had. */
export class BusyError extends CutoverError {}

/** Somebody asked from another terminal that the run unwinds. */
export class AbortedError extends CutoverError {
  constructor(by: string) {
    super(`aborted by ${by}`);
  }
}

/** What is left of a maintenance window is not enough. */
export class TimeOverError extends CutoverError {}

/** An error that the database server sent: it has an SQLSTATE, and perhaps more to say. */
export interface ServerError extends Error {
  readonly code: string;
  readonly detail?: string;
  readonly hint?: string;
  /** The server's context: a line of a COPY, a function. */
  readonly where?: string;
}

export const isServerError = (error: unknown): error is ServerError =>
  error instanceof Error &&
  /^[0-9A-Z]{5}$/.test(String((error as { code?: unknown }).code)) &&
  'severity' in error;

/** SQLSTATE of a server's error, or errno of a failed connection. */
export function codeOf(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    const { code } = current as { code?: unknown };
    if (typeof code === 'string') return code;
    if (current instanceof AggregateError && current.errors.length > 0) return codeOf(current.errors[0]);
  }
  return undefined;
}

/** `permission denied for database shop (42501)` */
export const serverMessage = (error: ServerError): string => `${error.message} (${error.code})`;

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
