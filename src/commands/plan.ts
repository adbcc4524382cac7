import { EXIT, type ExitCode } from '../core/errors.ts';
import { approvedOf, needsApproval } from '../plan/approved.ts';
import { loadPlaybook } from '../playbook/load.ts';
import { standingData, standingText } from '../report/approval.ts';
import { planText } from '../report/plan.ts';
import { prepareRun } from '../run/new-run.ts';
import { withoutSecrets } from '../journal/redact-event.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { standingFor } from './approvals/standing.ts';
import { measuredBefore, surroundingsOf } from './shared/surroundings.ts';

export async function run(
  [file]: readonly (string | undefined)[],
  options: Options<{ json?: true; rates?: string }>,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const playbook = await loadPlaybook(file!, around.env);
  const { plan, drivers, objects } = await prepareRun(
    playbook,
    around,
    false,
    await measuredBefore(options, playbook.name),
  );
  await drivers.end();
  const asks = playbook.approval !== 'none';
  const need = needsApproval(plan) ? 'needed' : 'not needed';
  const standing =
    asks && (await standingFor(playbook, options, around, approvedOf(plan, playbook, objects)));
  if (options.json) {
    const data = { ...withoutSecrets(plan), ...(standing && { standing: standingData(standing, need) }) };
    io.out(JSON.stringify(data, null, 2));
  } else {
    io.out(planText(plan, io.outStyle));
    if (standing) io.out(standingText(playbook, standing, need));
  }
  return plan.findings.some(({ severity }) => severity === 'failure') ? EXIT.refused : EXIT.done;
}
