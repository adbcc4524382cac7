import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Driver } from '../core/drivers/driver.ts';
import { AwayError, codeOf, StepError } from '../core/errors.ts';
import type { Side } from '../core/side.ts';
import type { Target, TargetContext } from '../core/drivers/target.ts';
import { addSecretsOfUrl } from '../util/redact.ts';
import { Console } from './pgbouncer/console.ts';
import { assertFit } from './pgbouncer/fit.ts';
import type { Pointing } from './pgbouncer/databases-line.ts';
import { EntriesFile } from './pgbouncer/entries-file.ts';
import { PgbouncerHold } from './pgbouncer/hold.ts';
import { pgbouncerStandIn } from './pgbouncer/stand-in.ts';

const pointing = () =>
  z.strictObject({
    host: z.string().min(1).optional(),
    port: z.union([z.int().transform(String), z.string().regex(/^\d+$/)]).optional(),
  });

const options = z
  .strictObject({
    admin: z
      .string()
      .min(1)
      .describe('Connection string of the admin console, without its password: ${PGBOUNCER_ADMIN_URL}'),
    database: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .describe('The entry of [databases] that clients connect to, or a list of them'),
    file: z
      .string()
      .min(1)
      .describe('The file with the line of that entry: the main ini, or one that it includes'),
    blue: pointing()
      .optional()
      .describe("Where PgBouncer finds blue's server, when it is not as in the line"),
    green: pointing()
      .optional()
      .describe(
        "Where PgBouncer finds green's server, when it is not as in the playbook's connection string",
      ),
  })
  .describe('Clients come through PgBouncer, which holds them for the moment of the switch');

type Options = z.output<typeof options>;

/** PgBouncer: PAUSE, the line of `[databases]` replaced, RELOAD, RESUME; clients keep their connections. */
export const pgbouncer: Driver<Options, TargetContext, Target> = {
  name: 'pgbouncer',
  summary:
    'Clients come through PgBouncer, which holds them for a moment and then leads them to the other side',
  options,
  paths: ['file'],
  secrets: ['admin'],
  standIn: pgbouncerStandIn,
  open: (options, context) => new Pgbouncer(options, context),
};

/** How long PgBouncer may take to show what it has read. */
const SHOW_MS = 2000;

class Pgbouncer implements Target {
  readonly hold: PgbouncerHold;
  readonly #options: Options;
  readonly #context: TargetContext;
  readonly #entries: readonly string[];
  readonly #file: EntriesFile;
  #console: Promise<Console> | undefined;

  constructor(options: Options, context: TargetContext) {
    this.#options = options;
    this.#context = context;
    this.#entries = [options.database].flat();
    this.#file = new EntriesFile(options.file, this.#entries, (side, now) => this.#place(side, now));
    this.hold = new PgbouncerHold(
      this.#entries,
      () => this.#ask(),
      () => this.#open(),
    );
  }

  describe(): { does: string[]; undo: string } {
    const { file } = this.#options;
    const names = this.#entries.join(', ');
    const { blue, green } = this.#context.names;
    if (this.#context.renames) {
      return { does: [`PAUSE ${names}`, `RESUME ${names}`], undo: `PAUSE ${names}, RESUME ${names}` };
    }
    return {
      does: [
        `PAUSE ${names}`,
        `write ${file}: ${names} → database ${green}${this.#elsewhere('green')}, the rest of the line stays`,
        'RELOAD, and look in SHOW DATABASES whether it was read',
        `RESUME ${names}`,
      ],
      undo: `PAUSE ${names}, write ${file} back to database ${blue}, RELOAD, RESUME ${names}`,
    };
  }

  async current(): Promise<Side | undefined> {
    if (this.#context.renames) return this.#sideByName();
    const text = await this.#file.read();
    const sides = new Set<Side | undefined>();
    for (const name of this.#entries) {
      const written = this.#file.sideOf(this.#file.pointing(text, name));
      sides.add(written);
      // One that does not run will read its file.
      const shown = await this.#shown(name).catch(unlessAway);
      if (shown === 'away') continue;
      sides.add(written && matches(shown, this.#file.pointing(text, name)) ? written : undefined);
    }
    const [side] = sides;
    return sides.size === 1 ? side : undefined;
  }

  async prepare(from: Side, to: Side): Promise<void> {
    const text = await this.#file.read();
    await assertFit(await this.#ask(), this.#entries, text, this.#options.file);
    if (this.#context.renames) return;
    const current = await this.current();
    if (current !== from) {
      throw new StepError(
        `PgBouncer's ${this.#entries.join(', ')} should point at ${from}, and points at ${current ?? 'neither side, or not where its file says'}`,
        { where: this.#options.file, hint: 'put the line right, RELOAD, and run again' },
      );
    }
    this.#file.pointed(text, to);
  }

  async stage(to: Side): Promise<void> {
    if (!this.#context.renames) await this.#file.stage(to);
  }

  async unstage(): Promise<void> {
    if (this.#context.renames) return;
    await this.#file.discard();
    await this.#file.discardLeftovers();
  }

  async switch(from: Side, to: Side): Promise<void> {
    if (this.#context.renames) return;
    const text = this.#file.readNow();
    const sides = new Set(this.#entries.map((name) => this.#file.sideOf(this.#file.pointing(text, name))));
    for (const side of sides) {
      if (side !== from && side !== to)
        throw new StepError(`the line of PgBouncer's ${this.#entries.join(', ')} was changed by somebody`, {
          where: this.#options.file,
          hint: 'put it right; nothing was changed',
        });
    }
    const next = this.#file.pointed(text, to);
    const written = next === text ? undefined : await this.#file.replace(text, next);
    const console = await this.#ask().catch(unlessAway);
    if (console === 'away') {
      await written?.settled;
      throw new AwayError('PgBouncer is not running; its file is written', {
        where: this.#options.file,
        hint: 'start it',
      });
    }
    await console.ask('RELOAD');
    this.hold.reloaded();
    for (const name of this.#entries) await this.#confirm(name, this.#file.pointing(next, name));
    this.hold.soon();
    await written?.settled;
  }

  async end(): Promise<void> {
    await this.#file.discard();
    await this.hold.end();
    await (await this.#console?.catch(() => undefined))?.end();
    this.#console = undefined;
  }

  /** RELOAD says nothing when a file cannot be read: only what is shown counts. */
  async #confirm(name: string, expected: Pointing): Promise<void> {
    const deadline = Date.now() + SHOW_MS;
    for (;;) {
      const shown = await this.#shown(name);
      if (matches(shown, expected)) return;
      if (Date.now() > deadline) {
        throw new StepError(`PgBouncer did not take over the line of ${name}`, {
          where: this.#options.file,
          hint: "look into PgBouncer's log; is this the file that it reads?",
        });
      }
      await sleep(10);
    }
  }

  /** Where a line leads when it leads to a side; what nobody says stays as it is in the line. */
  #place(side: Side, now: Pointing): Pointing {
    const { names, places } = this.#context;
    const given = this.#options[side];
    const known = places?.[side];
    return {
      host: given?.host ?? known?.host ?? now.host,
      port: given?.port ?? known?.port ?? now.port,
      dbname: side === 'blue' ? names.blue : names.green,
    };
  }

  async #sideByName(): Promise<Side | undefined> {
    const { database, names } = this.#context;
    const green = await database.state('green');
    return green?.name === names.blue ? 'green' : 'blue';
  }

  #elsewhere(side: Side): string {
    const place = this.#place(side, { host: undefined, port: undefined, dbname: '' });
    return place.host === undefined ? '' : ` on ${place.host}:${place.port ?? '5432'}`;
  }

  async #shown(name: string): Promise<Readonly<Record<string, string | null>> | undefined> {
    const rows = await (await this.#ask()).ask('SHOW DATABASES');
    return rows.find((row) => row['name'] === name);
  }

  #open(): Promise<Console> {
    const url = this.#context.resolve(this.#options.admin);
    addSecretsOfUrl(url);
    return Console.open(url);
  }

  /** The console that is kept, or a new one. */
  async #ask(): Promise<Console> {
    const held = await this.#console?.catch(() => undefined);
    if (held && !held.lost) return held;
    this.#console = this.#open();
    return this.#console;
  }
}

/** Nobody listens where it was reached before. */
function unlessAway(error: unknown): 'away' {
  if (codeOf(error) === 'ECONNREFUSED') return 'away';
  throw error;
}

const matches = (shown: Readonly<Record<string, string | null>> | undefined, to: Pointing): boolean =>
  shown !== undefined &&
  shown['database'] === to.dbname &&
  (to.host === undefined || shown['host'] === to.host) &&
  String(shown['port']) === (to.port ?? '5432');
