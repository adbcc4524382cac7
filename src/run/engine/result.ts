import type { ExitCode } from '../../core/errors.ts';
import type { RunOutcome } from '../../core/event.ts';

/** How this process's part of a run ended. */
export interface Result {
  readonly outcome: RunOutcome | 'held';
  readonly exit: ExitCode;
  readonly error?: unknown;
  /** What was taken back, a line each. */
  readonly undone: readonly string[];
}
