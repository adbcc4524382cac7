import type { RunState, StepState } from '../journal/fold.ts';
import { onlyInCopy } from '../journal/state.ts';
import { followerWords } from '../run/followers.ts';
import { redact } from '../util/redact.ts';
import type { Style } from '../util/style.ts';
import { formatDuration } from '../util/units.ts';
import { allowedBy } from './approval.ts';
import { findingsText } from './findings.ts';

const MARKS: Record<StepState['phase'], string> = {
  waiting: ' ',
  again: ' ',
  running: '…',
  done: '✔',
  failed: '✖',
  undoing: '↩',
  undone: '↩',
  'undo failed': '✖',
};

/** What the journal says of a run: its phase, its steps and what can be done next. */
export function runText(
  state: RunState,
  next: string,
  style: Style,
  atWork?: string,
  meter?: string,
): string {
  const { plan } = state;
  const lines = [
    `${style.bold(`Run ${state.run}`)} of ${plan.name}: ${style.bold(state.phase)}`,
    `  started ${time(state.startedAt)} by ${state.operator}${state.window === undefined ? '' : ` in the window ${state.window}`}${allowedBy(state.approval)}${state.endedAt ? `, ended ${time(state.endedAt)}` : ''}`,
    ...heldText(state).map((line) => `  ${line}`),
    ...state.resumed.map(({ at, operator }) => `  resumed ${time(at)} by ${operator}`),
    ...(atWork === undefined ? [] : [`  ${atWork}`]),
    `  live: ${state.live} (database ${liveName(state)})${keptText(state)}`,
    ...(meter === undefined ? [] : meter.split('\n').map((line) => `  ${line}`)),
    ...closedText(state).map((line) => `  ${style.yellow(line)}`),
    '',
    ...plan.steps.map((step) => stepLine(step.title, state.steps[step.id]!, style)),
  ];
  // Notes of the preflight were for before; what verification did not compare must stand beside what it did.
  const told = plan.steps.flatMap(({ id, kind }) =>
    state.steps[id]!.findings.filter(({ severity }) => kind === 'verify' || severity !== 'note'),
  );
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

/** What verification found out, for whoever is asked whether to switch. */
export const provedText = ({ plan, steps }: RunState, style: Style): string =>
  redact(
    findingsText(
      plan.steps.flatMap(({ id, kind }) => (kind === 'verify' ? steps[id]!.findings : [])),
      style,
    ),
  );

const time = (iso: string): string => `${iso.slice(0, 19).replace('T', ' ')} UTC`;

const liveName = ({ live, plan }: RunState): string =>
  live === 'blue' || plan.renames ? plan.names.blue : plan.names.green;

const WHY = {
  prepared: 'as was asked: everything but the switch is done',
  time: 'because what was left of its window was not enough',
  failure: 'because a step failed',
} as const;

function heldText(state: RunState): string[] {
  const { held, plan } = state;
  if (!held) return [];
  const { blue, green } = plan.names;
  return [
    `held since ${time(held.at)}, ${WHY[held.reason]}`,
    `clients go on writing to ${blue}, and ${followerWords(state)}; ${blue} keeps in its WAL whatever ${green} has not yet applied`,
  ];
}

/** Who cannot work because of this run, as far as its journal knows. */
function closedText(state: RunState): string[] {
  const { plan, phase, live, steps } = state;
  const fenced = plan.steps.some(
    ({ id, kind }) => kind === 'fence' && !['waiting', 'undone'].includes(steps[id]!.phase),
  );
  const lines: string[] = [];
  if (fenced && live === 'blue' && ['running', 'unwinding', 'stuck'].includes(phase)) {
    lines.push(`${plan.names.blue} is closed to everybody since the fence, unless somebody opened it`);
  }
  if (phase === 'swapping back')
    lines.push(
      plan.live
        ? 'clients are held for a moment while ownership moves'
        : 'both sides are closed to everybody while the swap back is under way',
    );
  const only = phase === 'swapped back' ? onlyInCopy(state) : [];
  if (only.length > 0)
    lines.push(`${plan.names.green} holds what exists nowhere else:`, ...only.map((line) => `  ${line}`));
  return lines;
}

function keptText(state: RunState): string {
  const { names, renames, live } = state.plan;
  const how = live ? 'fenced, and follows' : 'closed';
  if (state.phase === 'completed' || state.phase === 'swapping back') {
    return `; the previous copy is ${renames ? names.previous : names.blue}, ${how}`;
  }
  if (state.phase === 'swapped back') return `; the copy that was live is ${names.green}, ${how}`;
  if (state.phase === 'retired') return `; ${state.retired} was dropped`;
  return '';
}

function stepLine(title: string, step: StepState, style: Style): string {
  const took = step.ms === undefined ? '' : style.dim(`  ${formatDuration(step.ms)}`);
  const line = `  ${step.error ? MARKS.failed : MARKS[step.phase]} ${title}${took}`;
  if (step.phase === 'waiting' || step.phase === 'again') return style.dim(line);
  return step.error ? style.red(line) : line;
}
