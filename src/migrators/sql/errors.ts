import { StepError } from '../../core/errors.ts';
import { redact } from '../../util/redact.ts';
import type { SqlFile } from './files.ts';
import { isTransactional } from './text/lint.ts';
import { excerpt, offsetOfPosition, placeOf, shown } from './text/source.ts';
import type { Statement } from '../../util/sql-text/split.ts';

/** A field of an error that the server sent, as text. */
function fieldOf(error: unknown, name: string): string | undefined {
  const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined;
  return typeof value === 'string' && value !== ''
    ? value
    : typeof value === 'number'
      ? String(value)
      : undefined;
}

/** SQLSTATE of an error from the server; undefined for errors of the connection. */
export function sqlStateOf(error: unknown): string | undefined {
  const code = fieldOf(error, 'code');
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** `column "tiers" does not exist (42703)`. */
export function messageWithCode(error: unknown): string {
  const message = shown(error instanceof Error ? error.message : String(error));
  const state = sqlStateOf(error);
  return state === undefined ? message : `${message} (${state})`;
}

/** The connection is gone, or was taken away; what ran in a transaction is rolled back by the server. */
function isConnectionLoss(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state === undefined || state.startsWith('08') || state.startsWith('57P');
}

const HINTS: Readonly<Record<string, string>> = {
  '25001': 'give the statement a file of its own with -- cutover: no-transaction as its first line',
  '55P04': 'put ALTER TYPE … ADD VALUE into a file of its own, before the one that uses the value',
  '55P03': 'another session held the lock for longer than lock-timeout: end it, or run again later',
  '57014': 'it took longer than statement_timeout: raise statement-timeout',
};

/** A statement's error at its place in the file. `after` says what is left in the database and what to do. */
export function statementError(
  file: SqlFile,
  statement: Statement,
  error: unknown,
  after: string,
): StepError {
  const position = Number(fieldOf(error, 'position') ?? 0);
  const offset = statement.start + (position > 0 ? offsetOfPosition(statement.text, position) : 0);
  const { line, column } = placeOf(file.text, offset);
  const place = `:${line}:${column}`;
  return new StepError(`${file.name}${place}: ${messageWithCode(error)}`, {
    where: `${file.path}${place}`,
    detail: [excerpt(file.text, offset), ...saidByServer(error)].join('\n'),
    hint: hintOf(error, after),
    cause: withoutText(error, file),
  });
}

/** An error behind the last statement: deferred constraints at COMMIT, or the version's row. */
export function finishError(file: SqlFile, doing: string, error: unknown, after: string): StepError {
  return new StepError(`${file.name}: ${doing}: ${messageWithCode(error)}`, {
    where: file.path,
    detail: saidByServer(error).join('\n') || undefined,
    hint: hintOf(error, after),
    cause: withoutText(error, file),
  });
}

function saidByServer(error: unknown): string[] {
  const state = sqlStateOf(error);
  const query = fieldOf(error, 'internalQuery');
  const lines: [string, string | undefined][] = [
    ['SQLSTATE', state],
    ['detail', fieldOf(error, 'detail')],
    ['in', query],
    ['context', fieldOf(error, 'where')],
  ];
  return lines.flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${shown(value)}`]));
}

function hintOf(error: unknown, after: string): string {
  const hints = [fieldOf(error, 'hint'), HINTS[sqlStateOf(error) ?? '']];
  if (isConnectionLoss(error)) hints.push('the connection was lost');
  return [...hints, after]
    .filter((line) => line !== undefined)
    .map(redact)
    .join('\n');
}

/**
 * The driver's error carries the whole statement in places, secrets included: only its message goes on, and its code
 * where nothing of the file stays.
 */
function withoutText(error: unknown, file: SqlFile): Error {
  const code = isTransactional(file) ? sqlStateOf(error) : undefined;
  return Object.assign(new Error(messageWithCode(error)), code === undefined ? {} : { code });
}
