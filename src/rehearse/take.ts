import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../core/errors.ts';
import type { Event } from '../core/event.ts';
import { other, type Side } from '../core/side.ts';
import type { Driver, DriverUse } from '../core/drivers/driver.ts';
import type { Playbook } from '../core/playbook.ts';
import type { StandIn, Undo } from '../core/drivers/stand-in.ts';
import { FileJournalStore } from '../journal/file.ts';
import { fold, type RunState } from '../journal/fold.ts';
import { Clients, type ClientsOptions } from './clients/clients.ts';
import { workOf, type Work } from './clients/mix.ts';
import type { Fixture } from '../databases/postgres/fixture/describe.ts';
import { loadBallast, REWRITE } from './stage/disk.ts';
import { Kit } from './stage/kit.ts';
import { Network } from './stage/network.ts';
import { Ledger, LEDGER_SCHEMA } from './clients/ledger.ts';
import { restage } from './restage.ts';
import type { Stage } from './stage/stage.ts';
import { Tool } from './tool.ts';

export interface TakeOptions {
  readonly stage: Stage;
  /** Of this take's own. */
  readonly folder: string;
  readonly playbook: Playbook;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly scheme: string;
  readonly fixture: Fixture;
  readonly clients: Pick<ClientsOptions, 'clients' | 'perSecond'>;
  /** Of child processes, without what leads to real databases; secret. */
  readonly variables: Readonly<Record<string, string>>;
  readonly drivers: {
    readonly target: (name: string) => Driver<unknown, never, unknown> | undefined;
    readonly paths: (sort: 'migrators' | 'checks', name: string) => readonly string[];
  };
  /** What is put among the migrations, if anything. */
  readonly planted: Planted | undefined;
  readonly self: string;
  readonly tools: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * `tamper`: a row on green that nobody wrote on blue, before the first migration; `migration`: one that fails, after the
 * last; `full`: what needs room, on blue and among the migrations; `slow`: the
 * way to the servers can be made so.
 */
export type Planted = 'tamper' | 'migration' | 'full' | 'slow';

/** How long clients work between two commands. */
const SETTLE_MS = 1000;

/** One performance of a playbook on a stage that is as it was in the beginning. */
export class Take {
  readonly tool: Tool;
  readonly ledger: Ledger;
  readonly clients: Clients;
  readonly work: Work;
  /** What of the playbook is not rehearsed, a line each. */
  readonly without: readonly string[];
  /** The staged playbook's file. */
  readonly file: string;
  /** Makes that the last target which is to be flipped cannot be; gives what ends that. */
  readonly refuse: () => Promise<Undo>;
  /** The way of the tool and of poolers to the servers, where it can be made slow. */
  readonly network: Network | undefined;
  readonly #store: FileJournalStore;
  readonly #signal: AbortSignal;
  readonly #kit: Kit;

  private constructor(
    parts: Pick<Take, 'tool' | 'ledger' | 'clients' | 'work' | 'without' | 'file' | 'refuse' | 'network'> & {
      store: FileJournalStore;
      kit: Kit;
      signal: AbortSignal;
    },
  ) {
    this.tool = parts.tool;
    this.ledger = parts.ledger;
    this.clients = parts.clients;
    this.work = parts.work;
    this.without = parts.without;
    this.file = parts.file;
    this.refuse = parts.refuse;
    this.network = parts.network;
    this.#store = parts.store;
    this.#kit = parts.kit;
    this.#signal = parts.signal;
  }

  static async open(options: TakeOptions): Promise<Take> {
    const { stage, folder, playbook, fixture, signal, drivers, planted } = options;
    const last = planted === 'migration' ? FAILING : planted === 'full' ? REWRITE : undefined;
    await mkdir(folder, { recursive: true });
    await stage.reset();
    if (planted === 'full') await loadBallast(stage);
    const network = planted === 'slow' ? await Network.open(stage) : undefined;
    const kit = new Kit(stage, join(folder, 'targets'), options.scheme, network);
    try {
      const placed = await standIns(playbook, kit, drivers);
      const { text, without } = restage(options.raw, playbook, {
        blue: kit.references.blue,
        green: playbook.greenUrl === undefined ? undefined : kit.references.green,
        targets: placed.targets,
        paths: drivers.paths,
        first: planted === 'tamper' ? [await plant(folder, TAMPERING)] : [],
        last: last === undefined ? [] : [await plant(folder, last)],
      });
      const file = join(folder, 'playbook.yml');
      await writeFile(file, text);
      const ledger = new Ledger(LEDGER_SCHEMA);
      const address = placed.address ?? (() => stage.clientUrl('blue'));
      const work = await workOf(fixture, ledger, stage.clientUrl('blue'));
      const state = join(folder, 'state');
      return new Take({
        tool: new Tool({
          self: options.self,
          folder,
          state,
          env: { ...options.variables, ...kit.variables },
          tools: options.tools,
          signal,
        }),
        ledger,
        clients: new Clients(address, { ...options.clients, ...work }),
        work,
        without: [...without, ...placed.without, ...work.without],
        file,
        refuse: placed.refuse,
        network,
        store: new FileJournalStore(state),
        kit,
        signal,
      });
    } catch (error) {
      kit.end();
      throw error;
    }
  }

  /** Clients work for a moment. */
  async settle(): Promise<void> {
    await sleep(SETTLE_MS, undefined, { signal: this.#signal }).catch(() => undefined);
    this.#signal.throwIfAborted();
  }

  /** Its runs, oldest first. */
  async runs(): Promise<RunState[]> {
    return (await this.events()).map((events) => fold(events));
  }

  async events(): Promise<Event[][]> {
    const runs = await this.#store.list();
    const journals = await Promise.all(runs.map((run) => this.#store.read(run)));
    return journals.filter((events) => events.length > 0);
  }

  async end(): Promise<void> {
    await this.clients.stop();
    this.#kit.end();
  }
}

/** The database that clients should find, by what a run's journal says. */
export function liveDatabase(state: RunState | undefined, stage: Stage): { side: Side; name: string } {
  const { names } = stage;
  if (!state || state.live === 'blue') return { side: 'blue', name: names.blue };
  return { side: 'green', name: state.plan.renames ? names.blue : names.green };
}

/** What retire is to be told by name. */
export function keptDatabase({ plan, live }: RunState): string {
  if (other(live) === 'green') return plan.names.green;
  return plan.renames ? plan.names.previous : plan.names.blue;
}

/** Puts a row of its own among those of the ledger. */
const TAMPERING = `insert into ${LEDGER_SCHEMA}.states values (-1, -1, 1);\n`;
/** Works for a while, and fails. */
const FAILING = `update ${LEDGER_SCHEMA}.accounts set balance = balance + 1; select 1 / 0;\n`;

/** A migration that no playbook has. */
async function plant(folder: string, sql: string): Promise<Readonly<Record<string, unknown>>> {
  const directory = join(folder, 'planted');
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'V001__planted.sql'), sql);
  return { sql: { directory, table: `${LEDGER_SCHEMA}.planted` } };
}

async function standIns(playbook: Playbook, kit: Kit, { target }: TakeOptions['drivers']) {
  const targets: DriverUse[] = [];
  const without: string[] = [];
  let address: (() => Promise<string>) | undefined;
  let refuse: StandIn['refuse'];
  for (const use of playbook.switch.targets) {
    const driver = target(use.driver);
    const placed = await driver?.standIn?.(use.options, kit);
    if (!placed) throw new RefusedError(`the target ${use.driver} cannot be rehearsed`, { where: use.at });
    targets.push({ ...use, options: placed.options });
    without.push(...placed.without);
    address ??= placed.address;
    // Those before it have been flipped by then, and are to be put back.
    refuse = placed.refuse ?? refuse;
  }
  return { targets, without, address, refuse: refuse ?? (async () => async () => undefined) };
}
