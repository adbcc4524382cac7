import { EXIT, type ExitCode } from '../core/errors.ts';
import { loadPlaybook } from '../playbook/load.ts';
import { planText } from '../report/plan.ts';
import { prepareRun } from '../run/new-run.ts';
import { withoutSecrets } from '../journal/redact-event.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { measuredBefore, surroundingsOf } from './shared/surroundings.ts';

export async function run(
  [file]: readonly (string | undefined)[],
  options: Options<{ json?: true; rates?: string }>,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const playbook = await loadPlaybook(file!, around.env);
  const { plan, drivers } = await prepareRun(
    playbook,
    around,
    false,
    await measuredBefore(options, playbook.name),
  );
  try {
    io.out(options.json ? JSON.stringify(withoutSecrets(plan), null, 2) : planText(plan, io.outStyle));
  } finally {
    await drivers.end();
  }
  return plan.findings.some(({ severity }) => severity === 'failure') ? EXIT.refused : EXIT.done;
}
