import type { PlannedStep } from '../core/plan.ts';
import type { Hook } from '../core/playbook.ts';
import { formatDuration } from '../util/units.ts';

/** The steps of a plan with the playbook's hooks around their phases, each a step of its own. */
export function withHooks(steps: readonly PlannedStep[], hooks: readonly Hook[]): PlannedStep[] {
  const planned = hooks.map((hook, index) => ({ hook, step: hookStep(hook, index + 1) }));
  const around = (when: Hook['when'], phase: string): PlannedStep[] =>
    planned.flatMap(({ hook, step }) => (hook.when === when && hook.phase === phase ? [step] : []));
  return steps.flatMap((step, index) => [
    ...(steps[index - 1]?.kind === step.kind ? [] : around('before', step.kind)),
    step,
    ...(steps[index + 1]?.kind === step.kind ? [] : around('after', step.kind)),
  ]);
}

function hookStep(hook: Hook, number: number): PlannedStep {
  const { when, phase, run, undo, timeout } = hook;
  return {
    id: `hook-${number}-${when}-${phase}`,
    kind: 'hook',
    title: `${when === 'before' ? 'Before' : 'After'} ${phase}: ${run.split('\n')[0]}`,
    does: [
      ...run.trim().split('\n'),
      `at most ${formatDuration(timeout)}; a failure ${when === 'before' ? 'stops the run' : 'is a warning'}`,
    ],
    undo: undo ?? 'nothing to undo',
    ownership: 'keeps',
    input: hook,
  };
}
