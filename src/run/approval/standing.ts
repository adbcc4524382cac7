import { randomBytes } from 'node:crypto';
import type { Approval, Approved, RunApproval } from '../../core/approval.ts';
import { messageOf, RefusedError } from '../../core/errors.ts';
import { BEFORE_THE_END, fold, type RunPhase } from '../../journal/fold.ts';
import type { JournalStore } from '../../journal/journal.ts';
import { changesSince } from '../../plan/approved.ts';
import { compactTime } from '../../util/time/clock.ts';
import { brokenSeal, sealed } from './seal.ts';

/** The latest approval of a playbook, and why it does not hold: nothing when it does. */
export interface Standing {
  readonly approval: Approval | undefined;
  readonly reasons: readonly string[];
}

/** How it stands with the approval of a playbook now; without `now` only what can be said without asking blue. */
export async function standingOf(
  store: JournalStore,
  name: string,
  key: string | undefined,
  now?: Approved,
): Promise<Standing> {
  const approval = await store.approval(name);
  if (!approval) return { approval, reasons: ['nobody has given one'] };
  const broken = brokenSeal(approval, key);
  // What an approval says that is not what somebody has approved is not worth telling.
  if (broken !== undefined) return { approval, reasons: [broken] };
  const ended = Date.parse(approval.until) <= Date.now() ? [`the approval ended at ${approval.until}`] : [];
  const elsewhere = approval.name === name ? [] : [`it is one of ${approval.name}`];
  return {
    approval,
    reasons: [
      ...elsewhere,
      ...ended,
      ...(await usesOf(store, approval)),
      ...(now ? changesSince(approval.approved, now) : []),
    ],
  };
}

/** Clocks of two machines may differ by so much. */
const SLACK_MS = 24 * 3600 * 1000;

/** Nothing came of the run: its approval is as good as before. */
const WITHOUT_USE: ReadonlySet<RunPhase> = new Set(['refused', 'unwound']);
const OPEN: ReadonlySet<RunPhase> = new Set(BEFORE_THE_END);

/** Runs that have used an approval, or may yet. A journal that cannot be read may be one of them. */
async function usesOf(store: JournalStore, { id, at }: Approval): Promise<string[]> {
  const since = compactTime(new Date(Date.parse(at) - SLACK_MS));
  const runs = (await store.list()).filter((run) => run >= since);
  const uses: string[] = [];
  for (const run of runs) {
    try {
      const events = await store.read(run);
      // A process that died before its first event.
      if (events.length === 0) continue;
      const { approval, phase } = fold(events);
      if (approval?.id !== id || WITHOUT_USE.has(phase)) continue;
      uses.push(
        OPEN.has(phase)
          ? `run ${run} began under it and is ${phase}`
          : `it was used up by run ${run}, which has switched`,
      );
    } catch (error) {
      uses.push(`the journal of run ${run}, which may have used it, cannot be read: ${messageOf(error)}`);
    }
  }
  return uses;
}

interface Giving {
  readonly name: string;
  readonly by: string;
  readonly until: Date;
  readonly approved: Approved;
}

/** A new approval, sealed. */
export function newApproval({ until, ...given }: Giving, key: string | undefined): Approval {
  const now = new Date();
  const id = `${compactTime(now)}-${randomBytes(4).toString('hex')}`;
  return sealed({ format: 1, id, at: now.toISOString(), until: until.toISOString(), ...given }, key);
}

/**
 * The approval that a run is made under. Throws RefusedError, which says in words what is missing or has changed, when
 * there is none that holds; `hint` is what to type then.
 */
export async function insistOnApproval(
  store: JournalStore,
  name: string,
  key: string | undefined,
  now: Approved,
  hint: string,
): Promise<RunApproval> {
  const { approval, reasons } = await standingOf(store, name, key, now);
  if (!approval || reasons.length > 0) {
    throw new RefusedError(
      approval
        ? `the approval by ${approval.by} of ${approval.at} does not hold`
        : `${name} needs an approval before a run that nobody watches, and nobody has given one`,
      { detail: approval && reasons.join('\n'), hint: `${hint}\nnothing was touched` },
    );
  }
  const { id, by, at, until } = approval;
  return { id, by, at, until, signed: key !== undefined };
}
