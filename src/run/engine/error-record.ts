import { isServerError, serverMessage, type CutoverError } from '../../core/errors.ts';
import type { ErrorRecord } from '../../core/event.ts';

/** An error as the journal keeps it; the journal redacts it. */
export function recordOf(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { message: String(error), kind: 'unknown' };
  const { hint, where, detail } = error as Partial<CutoverError>;
  return {
    message: isServerError(error) ? serverMessage(error) : error.message,
    kind: error.name,
    ...(hint === undefined ? {} : { hint }),
    ...(where === undefined ? {} : { where }),
    ...(detail === undefined || typeof detail !== 'string' ? {} : { detail }),
  };
}
