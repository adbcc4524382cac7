import type { ExitCode } from '../core/errors.ts';
import { answerGate, type GateOptions } from './approvals/answer-gate.ts';
import { disapprovePlaybook } from './approvals/approve-playbook.ts';
import { isPlaybook } from './approvals/approving.ts';
import type { CommandIo } from './shared/io.ts';

/** Answers the gate of a run with no, or takes the approval of a playbook back. */
export const run = (
  [named]: readonly (string | undefined)[],
  options: GateOptions,
  io: CommandIo,
): Promise<ExitCode> =>
  isPlaybook(named) ? disapprovePlaybook(named, options, io) : answerGate('stop', named, options, io);
