import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, StepError } from '../../core/errors.ts';
import type { Hold } from '../../core/drivers/target.ts';
import { quoteIdentifier } from '../../util/sql.ts';
import { allOrNone } from '../../util/turns/all-or-none.ts';
import type { Console } from './console.ts';

const ATTEMPTS = 20;
const POLL_MS = 20;
/** How long PgBouncer may take to read what it was sent. */
const SENT_MS = 500;
/** Logins that the pause had cut off are over by then. */
const LOGINS_MS = 1000;

/**
 * PAUSE and RESUME of entries. PAUSE has no time limit, and when its client goes away the entry stays paused: each one
 * gets a connection of its own, and RESUME comes from another one.
 */
export class PgbouncerHold implements Hold {
  readonly #entries: readonly string[];
  readonly #console: () => Promise<Console>;
  readonly #open: () => Promise<Console>;
  #spare: Console[] = [];
  /** What was set before the first pause. */
  #before: { readonly loginRetry: string; readonly maxConnections: string } | undefined;
  #loginsAllowed = false;
  #allowing: Promise<void> | undefined;
  #full = false;
  #tidying: Promise<void> | undefined;
  readonly #paused = new Set<string>();

  constructor(entries: readonly string[], console: () => Promise<Console>, open: () => Promise<Console>) {
    this.#entries = entries;
    this.#console = console;
    this.#open = open;
  }

  async ready(): Promise<void> {
    if (await this.#isLeftOver()) await (await this.#console()).ask('RELOAD');
    this.#before ??= await this.#readSettings();
    this.#spare = this.#spare.filter(({ lost }) => !lost);
    while (this.#spare.length < this.#entries.length) this.#spare.push(await this.#open());
  }

  async pause(signal: AbortSignal): Promise<void> {
    if (!this.#before) await this.ready();
    // It also marks what a process leaves behind that dies from here on.
    await this.#allowLogins();
    const through = new AbortController();
    try {
      await this.#startNoLogins();
      // What fails there is tried once more when PAUSE has come through.
      this.#startLoginsSoon(through.signal).catch(() => undefined);
      await allOrNone(
        this.#entries.map((name, index) => (either) => this.#pause(name, this.#spare[index], either)),
        signal,
      );
    } finally {
      through.abort();
      // Nobody waits for it; `release` looks after one that failed, and tells of it.
      this.#startLogins().catch(() => undefined);
    }
  }

  /**
   * With a long transaction PAUSE takes its time, and what is set holds for every database of this PgBouncer: an entry that
   * is marked as paused begins no login, whatever is set.
   */
  async #startLoginsSoon(through: AbortSignal): Promise<void> {
    while (await sleep(POLL_MS, true, { signal: through }).catch(() => false)) {
      const rows = await (await this.#console()).ask('SHOW DATABASES');
      // The answer may be of a pause that is over, and logins of the next one must not begin by it.
      if (through.aborted) return;
      const marked = rows.filter((row) => row['paused'] === '1').map((row) => row['name']);
      if (this.#entries.every((name) => marked.includes(name))) return this.#startLogins();
    }
  }

  async #pause(name: string, spare: Console | undefined, signal: AbortSignal): Promise<void> {
    const console = spare && !spare.lost ? spare : await this.#open();
    const { promise: called, reject } = Promise.withResolvers<never>();
    called.catch(() => undefined);
    const giveUp = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await this.#noLogins(console, name, signal);
      this.#paused.add(name);
      const paused = console.ask(`PAUSE ${quoteIdentifier(name)}`);
      paused.catch(() => undefined);
      await Promise.race([paused, called]);
    } catch (error) {
      await this.#sent(name);
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
      // The entry stays as it is; whoever waits behind a RESUME would wait for good.
      console.drop();
    }
  }

  /** When a login fails, no other one is tried for as long as this says. */
  async #allowLogins(): Promise<void> {
    await (await this.#console()).ask('SET server_login_retry=0');
    this.#loginsAllowed = true;
  }

  /** RELOAD has taken back every SET. */
  reloaded(): void {
    this.#loginsAllowed = false;
    this.#full = false;
  }

  /** `release` comes next: what it needs can be on its way meanwhile. */
  soon(): void {
    if (this.#paused.size === 0) return;
    this.#allowing = this.#allowLogins();
    // Whoever waits for it hears of its failure.
    this.#allowing.catch(() => undefined);
  }

  /**
   * Where a connection is open, none is opened besides it while the database counts as full: clients wait for those that are
   * there. An entry whose line sets a maximum of its own is not reached by this.
   */
  async #startNoLogins(): Promise<void> {
    this.#full = true;
    await (await this.#console()).ask('SET max_db_connections=1');
  }

  async #startLogins(): Promise<void> {
    if (!this.#full || this.#before === undefined) return;
    await (await this.#console()).ask(`SET max_db_connections=${this.#before.maxConnections}`);
    this.#full = false;
  }

  /** A PAUSE that is still on its way would come after the RESUME that takes it back. */
  async #sent(name: string): Promise<void> {
    if (!this.#paused.has(name)) return;
    const console = await this.#console();
    const deadline = performance.now() + SENT_MS;
    while (!(await this.#isPaused(console, name)) && performance.now() < deadline) await sleep(1);
  }

  /**
   * A login that PAUSE cuts off counts as failed, and until the next one has succeeded PgBouncer turns away everybody
   * who asks.
   */
  async #noLogins(console: Console, name: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const pools = (await console.ask('SHOW POOLS')).filter(({ database }) => database === name);
      if (pools.every((pool) => pool['sv_login'] === '0')) return;
      await sleep(1);
    }
  }

  async release(): Promise<boolean> {
    const console = await this.#console();
    const allowing = this.#allowing;
    this.#allowing = undefined;
    await allowing;
    await this.#startLogins();
    // One that stays paused keeps none of the others waiting.
    const released = await Promise.allSettled(this.#entries.map((name) => this.#release(console, name)));
    const held = released.some((each) => each.status === 'fulfilled' && each.value);
    // A pause that was called off before it came has set it, too.
    if (held || this.#loginsAllowed || (await this.#isLeftOver())) {
      this.#tidying = this.#tidy();
      // It tells of its failure when it is waited for.
      this.#tidying.catch(() => undefined);
    }
    for (const each of released) if (each.status === 'rejected') throw each.reason as Error;
    return held;
  }

  async #release(console: Console, name: string): Promise<boolean> {
    // One that this process has paused needs no look before.
    for (let attempt = 1; ; attempt += 1) {
      if (!this.#paused.delete(name) && !(await this.#isPaused(console, name))) return attempt > 1;
      if (attempt > ATTEMPTS)
        throw new StepError(`PgBouncer's ${name} stays paused`, {
          hint: `on its admin console: RESUME ${name}`,
        });
      if (!this.#loginsAllowed || attempt > 1) await this.#allowLogins();
      await console.ask(`RESUME ${quoteIdentifier(name)}`).catch((error: unknown) => {
        // It may have been resumed in between, by this or by another hand, or be gone from the file.
        if (!/not paused|no such database/i.test(messageOf(error))) throw error;
      });
      if (attempt > 1) await sleep(POLL_MS);
    }
  }

  async tidy(): Promise<void> {
    await this.#tidying;
  }

  /** A server that is away would be tried without a pause for as long as this stands. */
  async #tidy(): Promise<void> {
    await sleep(LOGINS_MS);
    const console = await this.#console();
    // The next pause has begun, and its end does this.
    if (this.#paused.size > 0) return;
    this.#loginsAllowed = false;
    // Reading the files anew takes every SET back; needed only where a process died in between.
    await console.ask(this.#before ? `SET server_login_retry=${this.#before.loginRetry}` : 'RELOAD');
  }

  /** A process that died has left it at 0, which nobody else sets. */
  async #isLeftOver(): Promise<boolean> {
    return this.#before === undefined && (await this.#readSettings()).loginRetry === '0';
  }

  async #readSettings(): Promise<{ loginRetry: string; maxConnections: string }> {
    const config = await (await this.#console()).ask('SHOW CONFIG');
    const valueOf = (name: string): string => config.find(({ key }) => key === name)?.['value'] ?? '';
    return { loginRetry: valueOf('server_login_retry'), maxConnections: valueOf('max_db_connections') };
  }

  async end(): Promise<void> {
    // `tidy` has told it; whoever comes next finds the 0 and puts it back.
    await this.#tidying?.catch(() => undefined);
    for (const console of this.#spare) await console.end();
    this.#spare = [];
  }

  async #isPaused(console: Console, name: string): Promise<boolean> {
    const rows = await console.ask('SHOW DATABASES');
    return rows.find((row) => row['name'] === name)?.['paused'] === '1';
  }
}
