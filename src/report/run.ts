import type { RunState, StepState } from '../journal/fold.ts';
import { redact } from '../util/redact.ts';
import type { Style } from '../util/style.ts';
import { formatDuration } from '../util/units.ts';
import { findingsText } from './findings.ts';

const MARKS: Record<StepState['phase'], string> = {
  waiting: ' ',
  running: '…',
  done: '✔',
  failed: '✖',
  undoing: '↩',
  undone: '↩',
  'undo failed': '✖',
};

/** What the journal says of a run: its phase, its steps and what can be done next. */
export function runText(state: RunState, next: string, style: Style): string {
  const { plan } = state;
  const lines = [
    `${style.bold(`Run ${state.run}`)} of ${plan.name}: ${style.bold(state.phase)}`,
    `  started ${time(state.startedAt)} by ${state.operator}${state.endedAt ? `, ended ${time(state.endedAt)}` : ''}`,
    `  live: ${state.live} (database ${liveName(state)})${keptText(state)}`,
    '',
    ...plan.steps.map((step) => stepLine(step.title, state.steps[step.id]!, style)),
  ];
  const findings = Object.values(state.steps).flatMap((step) => step.findings);
  const told = findings.filter(({ check, severity }) => severity !== 'note' || check === 'schema');
  if (told.length > 0) lines.push('', findingsText(told, style));
  if (state.error)
    lines.push(
      '',
      `${style.red('✖')} ${state.error.message}`,
      ...(state.error.detail ?? '').split('\n').filter(Boolean),
    );
  lines.push('', `${style.bold('Next')}  ${next}`);
  return redact(lines.join('\n'));
}

const time = (iso: string): string => `${iso.slice(0, 19).replace('T', ' ')} UTC`;

const liveName = ({ live, plan }: RunState): string =>
  live === 'blue' || plan.renames ? plan.names.blue : plan.names.green;

function keptText(state: RunState): string {
  const { names, renames } = state.plan;
  if (state.phase === 'completed' || state.phase === 'swapping back') {
    return `; the previous copy is ${renames ? names.previous : names.blue}, closed`;
  }
  if (state.phase === 'swapped back') return `; the copy that was live is ${names.green}, closed`;
  if (state.phase === 'retired') return `; ${state.retired} was dropped`;
  return '';
}

function stepLine(title: string, step: StepState, style: Style): string {
  const took = step.ms === undefined ? '' : style.dim(`  ${formatDuration(step.ms)}`);
  const line = `  ${MARKS[step.phase]} ${title}${took}`;
  if (step.phase === 'waiting') return style.dim(line);
  return step.phase === 'failed' || step.phase === 'undo failed' ? style.red(line) : line;
}

/** All runs, a line each, newest last. */
export function runsText(states: readonly RunState[], style: Style): string {
  if (states.length === 0) return 'There are no runs yet. Begin with: cutover plan PLAYBOOK';
  const width = Math.max(...states.map(({ plan }) => plan.name.length));
  return states
    .map(
      (state) =>
        `${state.run}  ${state.plan.name.padEnd(width)}  ${style.bold(state.phase.padEnd(12))}  live: ${state.live}`,
    )
    .join('\n');
}
