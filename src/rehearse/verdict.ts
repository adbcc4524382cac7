import type { Finding } from '../core/drivers/check.ts';
import type { Event } from '../core/event.ts';
import type { Side } from '../core/side.ts';
import type { RunState } from '../journal/fold.ts';
import { formatCount, formatDuration, plural } from '../util/units.ts';
import type { Answered, ClientError } from './clients/clients.ts';
import type { Told } from './tool.ts';

/** How long clients were held, as the tool itself measured it. */
export interface Held {
  readonly what: string;
  readonly ms: number;
  /** When it was over, ISO 8601. */
  readonly at: string;
}

/** A time, by `performance.now()`. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

export interface Outcome {
  /** Of a run that follows: clients may notice nothing. */
  readonly live: boolean;
  readonly answered: readonly Answered[];
  readonly errors: readonly ClientError[];
  /** Servers crashed: clients may be turned away whoever follows whom. */
  readonly down: boolean;
  /** When clients may be turned away. */
  readonly away: readonly Window[];
  readonly acknowledged: number;
  /** What the ledger found. */
  readonly problems: readonly string[];
  readonly before: readonly string[];
  readonly after: readonly string[];
  /** Databases that there should be now. */
  readonly expected: readonly string[];
  /** The last run is over: nothing of it may be left. */
  readonly over: boolean;
}

/** What became of the promises that hold whatever happens. */
export const promisesOf = (outcome: Outcome): Finding[] => [
  ledgerFinding(outcome),
  clientsFinding(outcome),
  leftoversFinding(outcome),
];

/** How a command went. */
export function commandFinding({ words, code, from, to, output }: Told): Finding {
  const took = formatDuration(to - from);
  const check = words[0]!;
  if (code === 0) return { check, severity: 'ok', message: `came through in ${took}` };
  return {
    check,
    severity: 'failure',
    message:
      code === undefined
        ? `was ended by a signal after ${took}`
        : `ended with exit code ${code} after ${took}`,
    detail: output.split('\n').slice(-25).join('\n'),
    hint: 'docs/exit-codes.md says in which state blue is then',
  };
}

function ledgerFinding({ problems, acknowledged }: Outcome): Finding {
  const check = 'writes';
  if (problems.length > 0)
    return {
      check,
      severity: 'failure',
      message: `of ${plural(acknowledged, 'acknowledged row')} not all are as they were acknowledged`,
      detail: problems.join('\n'),
    };
  return {
    check,
    severity: acknowledged > 0 ? 'ok' : 'unknown',
    message: `${plural(acknowledged, 'acknowledged row')}: none lost, none doubled`,
  };
}

/** Commands in which a run without sync turns clients away. */
const TURNS_AWAY = new Set(['run', 'swap-back']);

/** Who was cut off by the fence had begun before it. */
const CUT_OFF_MS = 1000;

/** When clients may be turned away: from the fence of a run to its end, and during a swap back. */
export function awayIn(told: readonly Told[], runs: readonly RunState[]): Window[] {
  const left = [...runs];
  return told
    .filter(({ words }) => TURNS_AWAY.has(words[0]!))
    .flatMap(({ words, from, to }) => {
      if (words[0] !== 'run') return [{ from, to }];
      const fenced = left.shift()?.steps['fence']?.startedAt;
      if (fenced === undefined) return [];
      return [{ from: Date.parse(fenced) - performance.timeOrigin - CUT_OFF_MS, to }];
    });
}

function clientsFinding({ live, errors, answered, away, down }: Outcome): Finding {
  const check = 'clients';
  const expected = (at: number): boolean =>
    (down || !live) && away.some(({ from, to }) => at >= from && at <= to);
  const bad = errors.filter(({ at }) => !expected(at));
  const all = `${formatCount(answered.length)} transactions`;
  if (bad.length > 0)
    return {
      check,
      severity: 'failure',
      message: `${plural(bad.length, 'error')} beside ${all}`,
      detail: [...new Set(bad.map(({ message }) => message))].slice(0, 10).join('\n'),
    };
  const turned =
    errors.length === 0
      ? 'no error'
      : `turned away ${plural(errors.length, 'time')}, only while ${down ? 'servers were down' : 'blue was closed'}`;
  return { check, severity: answered.length > 0 ? 'ok' : 'unknown', message: `${all}, ${turned}` };
}

const note = (message: string): Finding => ({ check: 'pause', severity: 'note', message });

/** How long clients had to wait. */
export function heldFindings(
  live: boolean,
  held: readonly Held[],
  told: readonly Told[],
  answered: readonly Answered[],
): Finding[] {
  if (live) return held.map(({ what, ms }) => note(`${what}: clients were held for ${formatDuration(ms)}`));
  return told
    .filter(({ words }) => TURNS_AWAY.has(words[0]!))
    .map((one) => note(`${one.words[0]}: nobody was answered for ${formatDuration(silence(one, answered))}`));
}

/** The longest time between two answers while a command was at work. */
function silence({ from, to }: Told, answered: readonly Answered[]): number {
  const times = answered.map(({ at, ms }) => at + ms).filter((at) => at >= from && at <= to);
  const all = [from, ...times.toSorted((a, b) => a - b), to];
  return Math.max(...all.slice(1).map((at, index) => at - all[index]!));
}

function leftoversFinding({ before, after, expected, over }: Outcome): Finding {
  const check = 'leftovers';
  if (!over)
    return { check, severity: 'note', message: 'the last run is not over: what it keeps was not looked for' };
  const allowed = new Set([...before, ...expected]);
  const left = after.filter((line) => !allowed.has(line));
  const gone = expected.filter((line) => !after.includes(line));
  if (left.length === 0 && gone.length === 0)
    return { check, severity: 'ok', message: 'nothing of any run is left on the servers' };
  return {
    check,
    severity: 'failure',
    message: 'the servers are not as they should be in the end',
    detail: [...left.map((line) => `left over: ${line}`), ...gone.map((line) => `missing: ${line}`)].join(
      '\n',
    ),
  };
}

/** From the journals: every moment in which clients were held. */
export function heldOf(journals: readonly (readonly Event[])[]): Held[] {
  const held: Held[] = [];
  for (const events of journals) {
    let to: Side = 'blue';
    for (const event of events) {
      const { at } = event;
      if (event.type === 'swap-back-started') to = event.to ?? 'blue';
      if (event.type === 'swap-back-finished')
        held.push({ what: to === 'blue' ? 'swap back' : 'switch once more', ms: event.ms, at });
      if (event.type !== 'step-succeeded') continue;
      const { ms, heldMs } = (event.output ?? {}) as { ms?: number; heldMs?: number };
      const took = event.step === 'switch' ? ms : heldMs;
      if (took !== undefined) held.push({ what: event.step, ms: took, at });
    }
  }
  return held.toSorted((one, another) => one.at.localeCompare(another.at));
}
