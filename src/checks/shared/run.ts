import type { CheckContext, Finding } from '../../core/drivers/check.ts';
import type { Path, Table } from '../../core/database/catalog.ts';
import { BusyError, isServerError, serverMessage, type ServerError } from '../../core/errors.ts';
import type { Side } from '../../core/side.ts';
import { displayPath, parsePath } from '../../util/sql.ts';
import { didYouMean } from './names.ts';

/** Settles like the work, or fails at once when the signal aborts: a query on a large table takes its time to end. */
export async function abortable<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', stop, { once: true });
  const running = work();
  try {
    return await Promise.race([running, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
    // Whoever ends the connection ends the query; its error has nobody left to tell.
    running.catch(() => undefined);
  }
}

/** Asks both sides at the same time. */
export async function onBoth<T>(
  context: CheckContext,
  work: (side: 'blue' | 'green') => Promise<T>,
): Promise<{ blue: T; green: T }> {
  const [blue, green] = await abortable(context.signal, () =>
    Promise.allSettled([work('blue'), work('green')]),
  );
  if (blue.status === 'rejected') throw blue.reason;
  if (green.status === 'rejected') throw green.reason;
  return { blue: blue.value, green: green.value };
}

/** A side that did not let itself be read: no right, a lock, row security, something that is gone, or others at work. */
export class UnreadError extends Error {
  readonly hint: string | undefined;

  constructor(side: Side, cause: ServerError | BusyError) {
    super(`on ${side}: ${isServerError(cause) ? serverMessage(cause) : cause.message}`, { cause });
    this.hint = cause instanceof BusyError ? cause.hint : undefined;
  }
}

/** Asks both sides for something of theirs; throws UnreadError when a server refuses. */
export const readBoth = <T>(
  context: CheckContext,
  work: (side: Side) => Promise<T>,
): Promise<{ blue: T; green: T }> => onBoth(context, (side) => reading(side, () => work(side)));

/** Asks one side for something of its; throws UnreadError when the server refuses. */
export async function reading<T>(side: Side, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isServerError(error) || error instanceof BusyError ? new UnreadError(side, error) : error;
  }
}

/** What could not be read is told, and never counts as equal; every other error goes on. */
export function unread(check: string, what: string, error: unknown): Finding {
  if (!(error instanceof UnreadError)) throw error;
  return {
    check,
    severity: 'unknown',
    message: `${what} could not be read ${error.message}`,
    hint:
      error.hint ??
      'let the tool connect as a role that may read everything (BYPASSRLS where policies hide rows), or leave out what it may not',
  };
}

export const failure = (check: string, message: string, more: Partial<Finding> = {}): Finding => ({
  check,
  severity: 'failure',
  message,
  ...more,
});

/** A table that has rows to lose: it is not on green, and nobody said that it would not be. */
export const missingTable = (check: string, table: Table): Finding =>
  failure(check, `table ${displayPath(table.path)} of blue is missing on green`, {
    hint: `if the migrations are meant to drop it: expect: { dropped: [${yamlName(table.path)}] }`,
  });

export const unknownName = (check: string, option: string, name: string, known: Iterable<Path>): Finding => {
  const path = parsePath(name);
  return failure(check, `${option} names ${name}, which matches nothing`, {
    hint: didYouMean(path ? displayPath(path) : name, known),
  });
};

/** A name as it can be pasted into a YAML list in square brackets. */
export function yamlName(path: Path): string {
  const name = displayPath(path);
  return /^[\w.$]+$/.test(name) ? name : `'${name.replaceAll("'", "''")}'`;
}

export const yamlList = (paths: readonly Path[]): string => `[${paths.map(yamlName).join(', ')}]`;
