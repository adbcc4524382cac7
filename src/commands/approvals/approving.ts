import type { RunApproval } from '../../core/approval.ts';
import { RefusedError, UsageError } from '../../core/errors.ts';
import type { Plan } from '../../core/plan.ts';
import type { Gate, Playbook } from '../../core/playbook.ts';
import type { RunState } from '../../journal/fold.ts';
import type { JournalStore } from '../../journal/journal.ts';
import { approvedOf, needsApproval } from '../../plan/approved.ts';
import { keyOf } from '../../run/approval/seal.ts';
import { insistOnApproval } from '../../run/approval/standing.ts';
import type { PreparedRun } from '../../run/new-run.ts';
import type { Surroundings } from '../../run/open.ts';
import { formatDuration, parseDuration } from '../../util/units.ts';
import type { CommandIo } from '../shared/io.ts';
import { shellWord } from '../arguments/repeat-flags.ts';

/** A run is named by its id, which never looks so. */
export const isPlaybook = (named: string | undefined): named is string =>
  named !== undefined && /\.ya?ml$/i.test(named);

/** Whether the gate lets a run on only when a person at this terminal, or at another one, says so. */
export const isWatched = (
  gate: Pick<Gate, 'otherwise' | 'url'> | undefined,
  io: CommandIo,
  yes: true | undefined,
): boolean => io.interactive && !yes && gate?.otherwise === 'stop' && gate.url === undefined;

/** The approval that a run is made under; undefined when it needs none. Throws RefusedError when none holds. */
export async function approvalFor(
  store: JournalStore,
  file: string,
  playbook: Playbook,
  { plan, objects }: Pick<PreparedRun, 'plan' | 'objects'>,
  around: Surroundings,
  watched: boolean,
): Promise<RunApproval | undefined> {
  const key = keyOf(around.variables);
  if (watched || !needsApproval(plan)) return undefined;
  return insistOnApproval(
    store,
    playbook.name,
    key,
    approvedOf(plan, playbook, objects),
    `look at the plan, and approve it: cutover approve ${shellWord(file)}`,
  );
}

/** Who begins a run at a terminal answers its gate; who goes on with it elsewhere must not answer it with --yes. */
export function refuseUnapproved(plan: Plan, approval: RunApproval | undefined, watched: boolean): void {
  if (watched || approval !== undefined || !needsApproval(plan)) return;
  throw new RefusedError(`run ${plan.run} has no approval: a person was to answer its gate`, {
    hint: `at a terminal: cutover resume ${plan.run}; or put everything back: cutover abort ${plan.run}`,
  });
}

/**
 * A run that follows may be held for longer than its approval holds, and the approval may be taken back meanwhile; then
 * nobody's word stands for its switch any more. Where blue is closed the way forward is not barred.
 */
export async function refuseEnded(store: JournalStore, state: RunState): Promise<void> {
  const { run, plan, approval, live } = state;
  if (!plan.live || live === 'green' || approval === undefined) return;
  const given = await store.approval(plan.name);
  const ended = Date.parse(approval.until) <= Date.now();
  if (!ended && given?.id === approval.id) return;
  throw new RefusedError(
    `the approval of run ${run} by ${approval.by} ${ended ? `ended at ${approval.until}` : 'was taken back, or another took its place'}`,
    { hint: `put everything back: cutover abort ${run}; then approve the playbook and run it again` },
  );
}

const DEFAULT_MS = 7 * 24 * 3600 * 1000;
/** Nobody knows the plan of a year ago. */
const LONGEST_MS = 366 * 24 * 3600 * 1000;

/** When an approval ends. Throws UsageError when that is no time, is over, or is too far ahead. */
export function untilOf({ until, for: length }: { until?: string; for?: string }): Date {
  if (until !== undefined && length !== undefined)
    throw new UsageError('--until and --for say the same thing; give one of them');
  const ms = length === undefined ? DEFAULT_MS : parseDuration(length);
  if (ms === undefined || ms === 0)
    throw new UsageError(`--for ${length} is no length of time`, { hint: 'write one such as 12h or 7d' });
  const end = until === undefined ? Date.now() + ms : Date.parse(until);
  if (Number.isNaN(end))
    throw new UsageError(`--until ${until} is no time`, {
      hint: 'write one such as 2026-11-22T05:30:00+01:00',
    });
  if (end <= Date.now()) throw new UsageError(`--until ${until} is over`);
  if (end - Date.now() > LONGEST_MS)
    throw new UsageError(`an approval holds for at most ${formatDuration(LONGEST_MS)}`);
  return new Date(end);
}
