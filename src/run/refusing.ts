import { CutoverError, EXIT, isServerError, RefusedError, serverMessage } from '../core/errors.ts';

/**
 * Before a run has a journal nothing has been touched: what stops it there is a refusal, whatever it is called.
 * Unforeseen errors stay what they are.
 */
export async function refusing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof CutoverError && (cause.exit === EXIT.unwound || cause.exit === EXIT.internal)) {
      const { message, hint, where, detail } = cause;
      throw new RefusedError(message, { hint, where, detail, cause });
    }
    if (isServerError(cause))
      throw new RefusedError(serverMessage(cause), { cause, hint: 'nothing was touched' });
    throw cause;
  }
}
