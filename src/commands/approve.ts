import { UsageError, type ExitCode } from '../core/errors.ts';
import { answerGate } from './shared/answer-gate.ts';
import { approvePlaybook, type ApproveOptions } from './shared/approve-playbook.ts';
import { isPlaybook } from './shared/approving.ts';
import type { CommandIo } from './shared/io.ts';

const FOR_PLAYBOOKS = ['until', 'for', 'yes'] as const;

/** Answers the gate of a run, or approves a run of a playbook beforehand. */
export function run(
  [named]: readonly (string | undefined)[],
  options: ApproveOptions,
  io: CommandIo,
): Promise<ExitCode> {
  if (isPlaybook(named)) return approvePlaybook(named, options, io);
  const wrong = FOR_PLAYBOOKS.find((name) => options[name] !== undefined);
  if (wrong !== undefined)
    throw new UsageError(`--${wrong} is for a playbook, and not for a run`, {
      hint: 'name the playbook: cutover approve playbook.yml',
    });
  return answerGate('go', named, options, io);
}
