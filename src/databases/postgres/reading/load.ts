import { setTimeout as sleep } from 'node:timers/promises';
import type { Pace } from '../../../core/database/catalog.ts';
import { BusyError } from '../../../core/errors.ts';
import type { Ask } from '../catalog/catalog.ts';
import { formatDuration, plural } from '../../../util/units.ts';

/** Looks are at least this far apart, however small the pieces are that are read. */
const EVERY_MS = 1000;
/** Who has waited at one stretch for that long gives up: the snapshot that is held meanwhile holds back vacuum. */
const LONGEST_MS = 30 * 60_000;

/**
 * Who may not see the others would see a server on which nobody works. Names of applications can be read by everybody;
 * the tool's own do not count, or two comparisons at the same time would wait for each other.
 */
const LOOK = `
select current_user::text as role, pg_has_role('pg_read_all_stats', 'usage') as sees,
  count(*) filter (where state in ('active', 'fastpath function call')) as active,
  count(*) filter (where state = 'disabled') as untold
from pg_stat_activity
where backend_type = 'client backend' and application_name not like 'cutover %' and pid <> pg_backend_pid()`;

/** Sessions of others that are at work on the server. Throws BusyError when nobody could tell. */
export async function look(ask: Ask): Promise<number> {
  const [row] = await ask(LOOK);
  if (row!['sees'] !== 't')
    throw new BusyError(`${row!['role']} may not see whether others work on the server`, {
      hint: `grant pg_read_all_stats to ${row!['role']}, or read without a limit (max-active)`,
    });
  if (row!['untold'] !== '0')
    throw new BusyError(
      `${plural(BigInt(row!['untold']!), 'session')} on the server do not tell whether they work`,
      { hint: 'track_activities is off there: switch it on, or read without a limit (max-active)' },
    );
  return Number(row!['active']);
}

/** Lets readings of one side begin while no more than so many sessions of others are at work on its server. */
export class Load {
  readonly #longestMs: number;
  #pace: Pace | undefined;
  /** By `performance.now()`: until then the last look counts. */
  #freshUntil = 0;
  #busySince: { readonly at: Date; readonly ms: number } | undefined;
  #passing: Promise<void> | undefined;

  /** After so many milliseconds at one stretch nothing more is read. */
  constructor(longestMs = LONGEST_MS) {
    this.#longestMs = longestMs;
  }

  get limited(): boolean {
    return this.#pace !== undefined;
  }

  set(pace: Pace | undefined): void {
    this.#pace = pace;
    this.#freshUntil = 0;
    this.#busySince = undefined;
    this.#passing = undefined;
  }

  /** Before each reading; they wait together. Throws BusyError when it took too long, or nobody could tell. */
  async pass(ask: Ask): Promise<void> {
    const pace = this.#pace;
    if (!pace) return;
    pace.signal.throwIfAborted();
    if (performance.now() < this.#freshUntil) return;
    if (!this.#passing) {
      const passing = this.#wait(pace, ask).finally(() => {
        if (this.#passing === passing) this.#passing = undefined;
      });
      this.#passing = passing;
    }
    await this.#passing;
  }

  async #wait(pace: Pace, ask: Ask): Promise<void> {
    for (;;) {
      const active = await look(ask);
      const now = performance.now();
      if (active <= pace.most) {
        if (this.#busySince) pace.goesOn();
        this.#busySince = undefined;
        this.#freshUntil = now + EVERY_MS;
        return;
      }
      this.#busySince ??= { at: new Date(), ms: now };
      pace.waiting(active, this.#busySince.at);
      if (now - this.#busySince.ms > this.#longestMs)
        throw new BusyError(
          `for ${formatDuration(this.#longestMs)} more than ${plural(pace.most, 'session')} of others were at work`,
          { hint: 'read at another time, or with a higher limit (max-active)' },
        );
      // What ended the sleep is thrown as what it is, and not as an AbortError.
      await sleep(EVERY_MS, undefined, { signal: pace.signal }).catch(() => undefined);
      pace.signal.throwIfAborted();
    }
  }
}
