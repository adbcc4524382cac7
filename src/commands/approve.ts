import { UsageError, type ExitCode } from '../core/errors.ts';
import { answerGate } from './approvals/answer-gate.ts';
import { approvePlaybook, type ApproveOptions } from './approvals/approve-playbook.ts';
import { isPlaybook } from './approvals/approving.ts';
import { listApprovals } from './approvals/list.ts';
import type { CommandIo } from './shared/io.ts';

type AnyOptions = ApproveOptions & { list?: true; json?: true };

const FOR_PLAYBOOKS = ['until', 'for', 'yes'] as const;

/** Answers the gate of a run, approves a run of a playbook beforehand, or lists what was approved. */
export function run(
  [named]: readonly (string | undefined)[],
  options: AnyOptions,
  io: CommandIo,
): Promise<ExitCode> {
  if (options.list) {
    const wrong = named ?? ['gate', ...FOR_PLAYBOOKS].find((name) => name in options);
    if (wrong === undefined) return listApprovals(options, io);
    throw new UsageError('--list lists every approval; leave the rest out', {
      hint: 'of one playbook: cutover plan playbook.yml',
    });
  }
  if (options.json) throw new UsageError('--json is for --list');
  if (isPlaybook(named)) return approvePlaybook(named, options, io);
  const wrong = FOR_PLAYBOOKS.find((name) => options[name] !== undefined);
  if (wrong !== undefined)
    throw new UsageError(`--${wrong} is for a playbook, and not for a run`, {
      hint: 'name the playbook: cutover approve playbook.yml',
    });
  return answerGate('go', named, options, io);
}
