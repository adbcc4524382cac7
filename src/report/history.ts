import type { RunState } from '../journal/fold.ts';
import type { RunApproval } from '../core/approval.ts';
import { redact } from '../util/redact.ts';
import type { Style } from '../util/style.ts';
import { formatDuration } from '../util/units.ts';

/** A run in the history. Times in milliseconds. */
interface Entry {
  readonly run: string;
  readonly name: string;
  readonly phase: RunState['phase'];
  readonly live: RunState['live'];
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly exit: number | null;
  readonly tookMs: number | null;
  /** How long clients could not work because of it. */
  readonly heldMs: number | null;
  readonly operator: string;
  readonly approval: RunApproval | null;
}

export function entryOf(state: RunState): Entry {
  const { run, plan, phase, live, startedAt, finishedAt, exit, operator, approval } = state;
  return {
    run,
    name: plan.name,
    phase,
    live,
    startedAt,
    finishedAt: finishedAt ?? null,
    exit: exit ?? null,
    tookMs: finishedAt === undefined ? null : Date.parse(finishedAt) - Date.parse(startedAt),
    heldMs: heldMs(state) ?? null,
    operator,
    approval: approval ?? null,
  };
}

/** Of a run that follows as the switch and the clone have measured it; of any other from the fence until it was open again. */
function heldMs({ plan, steps, switchedAt, finishedAt }: RunState): number | undefined {
  const of = (kind: string) => {
    const id = plan.steps.find((step) => step.kind === kind)?.id;
    return id === undefined ? undefined : steps[id];
  };
  if (plan.live) {
    const { ms } = (of('switch')?.output ?? {}) as { ms?: number };
    const clone = (of('clone')?.output ?? {}) as { heldMs?: number };
    return ms === undefined && clone.heldMs === undefined ? undefined : (ms ?? 0) + (clone.heldMs ?? 0);
  }
  const fenced = of('fence')?.startedAt;
  if (fenced === undefined) return undefined;
  const { startedAt, ms } = of('switch') ?? {};
  if (switchedAt !== undefined && startedAt !== undefined && ms !== undefined)
    return Date.parse(startedAt) + ms - Date.parse(fenced);
  return finishedAt === undefined ? undefined : Date.parse(finishedAt) - Date.parse(fenced);
}

const HEAD = ['run', 'playbook', 'outcome', 'live', 'exit', 'took', 'held', 'by'];
/** Longer names would push the rest out of a terminal. */
const WIDEST = 20;

const short = (text: string): string => (text.length > WIDEST ? `${text.slice(0, WIDEST - 1)}…` : text);

const cellsOf = (entry: Entry): string[] => [
  entry.run,
  short(entry.name),
  entry.phase,
  entry.live,
  entry.exit === null ? '' : String(entry.exit),
  entry.tookMs === null ? '' : formatDuration(entry.tookMs),
  entry.heldMs === null ? '' : formatDuration(entry.heldMs),
  short(entry.operator) + (entry.approval ? ` ✔ ${short(entry.approval.by)}` : ''),
];

/** All runs, a line each, newest last. */
export function runsText(states: readonly RunState[], style: Style): string {
  if (states.length === 0) return 'There are no runs yet. Begin with: cutover plan PLAYBOOK';
  const rows = states.map((state) => cellsOf(entryOf(state)));
  const widths = HEAD.map((word, index) => Math.max(word.length, ...rows.map((row) => row[index]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, index) => cell.padEnd(widths[index]!))
      .join('  ')
      .trimEnd();
  return redact([style.dim(line(HEAD)), ...rows.map(line)].join('\n'));
}
