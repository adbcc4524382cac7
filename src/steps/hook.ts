import { stripVTControlCharacters } from 'node:util';
import { messageOf, StepError } from '../core/errors.ts';
import type { Hook } from '../core/playbook.ts';
import type { Step, StepContext } from '../core/step.ts';
import { failureOf, run as execute, shellLine, type ExecResult } from '../util/exec.ts';
import { redact } from '../util/redact.ts';
import { CHILD_VARIABLE } from '../util/stray.ts';
import { formatDuration } from '../util/units.ts';

/** Lines of output that a failure shows. */
const LINES = 15;

/** A shell line of the team's own. It cannot be asked whether it was done, and may therefore run once more. */
export const hook: Step = {
  kind: 'hook',
  async run(context) {
    const hook = context.step.input as Hook;
    const { problem, detail, ms } = await call(hook.run, hook, context);
    if (problem === undefined) return { summary: `passed in ${formatDuration(ms)}` };
    // After the switch the run goes forward, and there is nothing left to stop.
    if (hook.when === 'before' && context.live() === 'blue') {
      throw new StepError(`the hook before ${hook.phase} stops the run: ${problem}`, {
        where: hook.at,
        detail,
        hint: 'see what it says, and run again',
      });
    }
    const finding = {
      check: 'hook',
      severity: 'warning' as const,
      message: `the hook ${hook.when} ${hook.phase} ${problem}`,
    };
    return { findings: [{ ...finding, ...(detail ? { detail } : {}) }], summary: problem };
  },
  probe: () => Promise.resolve('unknown'),
  async undo(context) {
    const hook = context.step.input as Hook;
    if (hook.undo === undefined) return undefined;
    const { problem, detail } = await call(hook.undo, hook, context, { CUTOVER_UNDO: '1' });
    if (problem === undefined) return `${redact(hook.undo)} took back the hook ${hook.when} ${hook.phase}`;
    throw new StepError(`the undo of the hook ${hook.when} ${hook.phase} ${problem}`, {
      where: hook.at,
      detail,
    });
  },
};

async function call(
  line: string,
  hook: Hook,
  context: StepContext,
  more: Readonly<Record<string, string>> = {},
): Promise<{ problem: string | undefined; detail: string; ms: number }> {
  const { plan } = context;
  const undoing = more['CUTOVER_UNDO'] !== undefined;
  // What puts things back is finished once it is begun, and after the switch the run goes forward.
  const signal = undoing || context.live() === 'green' ? undefined : context.signal;
  signal?.throwIfAborted();
  const result = await execute(shellLine(line), {
    cwd: plan.playbook.folder,
    env: { ...context.env, [CHILD_VARIABLE]: undefined, ...variables(hook, context), ...more },
    timeout: hook.timeout,
    ...(signal ? { signal } : {}),
    onLine: (text) => context.progress(0, 0, 'lines', tidy(text)),
  }).catch((error: unknown) => messageOf(error));
  signal?.throwIfAborted();
  if (typeof result === 'string')
    return { problem: `${redact(line)} could not be started: ${result}`, detail: '', ms: 0 };
  const lines = tidy(result.output).split('\n').slice(-LINES).join('\n');
  return { problem: problemOf(line, hook, result), detail: lines, ms: result.ms };
}

/** What a hook may want to know; no connection string. */
function variables({ when, phase }: Hook, context: StepContext): Record<string, string> {
  const { plan } = context;
  return {
    CUTOVER_NAME: plan.name,
    CUTOVER_PLAYBOOK: plan.playbook.file,
    CUTOVER_WHEN: when,
    CUTOVER_PHASE: phase,
    CUTOVER_BLUE: plan.names.blue,
    CUTOVER_GREEN: plan.names.green,
    CUTOVER_PREVIOUS: plan.names.previous,
    CUTOVER_LIVE: context.live(),
  };
}

function problemOf(line: string, hook: Hook, result: ExecResult): string | undefined {
  const how = failureOf(result, hook.timeout);
  return how && `${redact(line).trim()} ${how}`;
}

const tidy = (text: string): string => redact(stripVTControlCharacters(text)).trimEnd();
