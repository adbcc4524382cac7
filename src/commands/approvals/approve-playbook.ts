import { EXIT, RefusedError, UsageError, type ExitCode } from '../../core/errors.ts';
import { approvedOf } from '../../plan/approved.ts';
import { loadPlaybook } from '../../playbook/load.ts';
import { planText } from '../../report/plan.ts';
import { keyOf } from '../../run/approval/seal.ts';
import { newApproval } from '../../run/approval/standing.ts';
import { prepareRun } from '../../run/new-run.ts';
import { refusing } from '../../run/refusing.ts';
import { plural } from '../../util/units.ts';
import { untilOf } from './approving.ts';
import { askYesNo } from '../shared/ask.ts';
import type { CommandIo, Options } from '../shared/io.ts';
import { shellWord } from '../arguments/repeat-flags.ts';
import { withSignals } from '../running/signals.ts';
import { measuredBefore, surroundingsOf, withStore } from '../shared/surroundings.ts';

export type ApproveOptions = Options<{ until?: string; for?: string; yes?: true; gate?: string }>;

/** Looks at blue, shows the plan, and keeps the word of whoever says yes to it for an unattended run. */
export async function approvePlaybook(
  file: string,
  options: ApproveOptions,
  io: CommandIo,
): Promise<ExitCode> {
  if (options.gate !== undefined) throw new UsageError('--gate is for a run, and not for a playbook');
  const until = untilOf(options);
  const around = await surroundingsOf(options);
  const key = keyOf(around.variables);
  const playbook = await loadPlaybook(file, around.env);
  if (playbook.approval === 'none')
    throw new UsageError('no run of this playbook asks for an approval', {
      where: file,
      hint: 'write approval: required, or approval: on-warnings',
    });
  const { plan, drivers, objects } = await prepareRun(
    playbook,
    around,
    false,
    await measuredBefore(options, playbook.name),
  );
  await drivers.end();
  io.out(planText(plan, io.outStyle));
  const failures = plan.findings.filter(({ severity }) => severity === 'failure');
  if (failures.length > 0)
    throw new RefusedError(`a run would be refused: ${plural(failures.length, 'condition')} not met`, {
      hint: 'mend what is listed, then approve it; nothing was approved',
    });
  const words = `a run of ${playbook.name} by this plan until ${until.toISOString()}`;
  if (!options.yes) {
    if (!io.interactive)
      throw new RefusedError(`approving ${words} needs a yes, and there is no terminal to ask at`, {
        hint: `cutover approve ${shellWord(file)} --yes`,
      });
    const yes = await withSignals(io.err, (signal) => askYesNo(`Approve ${words}?`, signal), {
      means: 'nothing is approved',
    });
    if (!yes) throw new RefusedError('nothing was approved');
  }
  const approved = approvedOf(plan, playbook, objects);
  const approval = newApproval({ name: playbook.name, by: io.operator, until, approved }, key);
  await withStore(options, (store) => refusing(() => store.approve(approval)));
  io.err(
    `Approved by ${io.operator}: ${words}${key === undefined ? '' : ', signed'}. To take it back: cutover reject ${shellWord(file)}`,
  );
  return EXIT.done;
}

/** Takes the approval of a playbook back. */
export async function disapprovePlaybook(
  file: string,
  options: Options<{ gate?: string }>,
  io: CommandIo,
): Promise<ExitCode> {
  if (options.gate !== undefined) throw new UsageError('--gate is for a run, and not for a playbook');
  const { env } = await surroundingsOf(options);
  const { name } = await loadPlaybook(file, env);
  const there = await withStore(options, (store) => refusing(() => store.disapprove(name)));
  if (!there) throw new RefusedError(`there is no approval of ${name} to take back`);
  io.err(`The approval of ${name} was taken back.`);
  return EXIT.done;
}
