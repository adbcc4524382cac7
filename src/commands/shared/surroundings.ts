import { resolve } from 'node:path';
import { messageOf, UsageError } from '../../core/errors.ts';
import { fold, UNSETTLED, type RunPhase, type RunState } from '../../journal/fold.ts';
import { FileJournalStore } from '../../journal/file.ts';
import type { JournalStore } from '../../journal/journal.ts';
import { PostgresJournalStore } from '../../journal/postgres/store.ts';
import { readEnvironment, type Environment } from '../../playbook/values/environment.ts';
import { interpolate } from '../../playbook/values/interpolate.ts';
import { measuredIn, readRates } from '../../run/measured.ts';
import type { Measured } from '../../plan/predict.ts';
import { nextFor } from '../../run/reopen.ts';
import type { Surroundings } from '../../run/open.ts';
import { addSecretsOfUrl } from '../../util/redact.ts';
import type { GlobalOptions } from './io.ts';

export async function surroundingsOf(options: GlobalOptions): Promise<Surroundings & { env: Environment }> {
  const env = await readEnvironment(options.envFile ?? []);
  const place = placeOf(options.state, env);
  const stateFolder = resolve(place.includes('://') ? '.cutover' : place);
  const tools = options.tools === undefined ? undefined : resolve(options.tools);
  return { env, variables: env.variables, resolve: env.resolve, stateFolder, tools };
}

const IS_URL = /^postgres(?:ql)?(?:\+\w+)?:\/\//i;

/** `--state` with its `${NAME}` references resolved; the password of a connection string is a secret from now on. */
function placeOf(state: string, { variables }: Environment): string {
  const { text, faults } = interpolate(state, variables);
  const [fault] = faults;
  if (fault) throw new UsageError(`--state: ${fault.message}`);
  addSecretsOfUrl(text);
  return text;
}

/** Where the journals are: a folder, or a PostgreSQL database. */
async function storeOf({ state, envFile }: GlobalOptions): Promise<JournalStore> {
  // The files are read only when something of them is wanted.
  const place = state.includes('${') ? placeOf(state, await readEnvironment(envFile ?? [])) : state;
  if (IS_URL.test(place)) return new PostgresJournalStore(place);
  if (!place.includes('://')) return new FileJournalStore(resolve(place));
  throw new UsageError('--state names neither a folder nor a PostgreSQL database', {
    hint: 'write --state DIR, or --state postgresql://user@host/database',
  });
}

/** Opens the store of journals for as long as `work` goes on. */
export async function withStore<T>(
  options: GlobalOptions,
  work: (store: JournalStore) => Promise<T>,
): Promise<T> {
  const store = await storeOf(options);
  try {
    return await work(store);
  } finally {
    await store.end();
  }
}

/** The run that was meant: by its id or the beginning of it; the latest one that satisfies `fits` when none was named. */
export async function chooseRun(
  store: JournalStore,
  named: string | undefined,
  purpose?: { readonly to: string; readonly phases: readonly RunPhase[] },
): Promise<RunState> {
  const runs = await runsOf(store);
  if (named !== undefined) {
    const matches = runs.filter((run) => run.startsWith(named));
    const [state] = matches.length === 1 ? await statesOf(store, matches) : [];
    if (state) return state;
    const none = matches.length < 2;
    const elsewhere = 'was it started in another folder, or with --state? say so with --state DIR';
    throw new UsageError(
      none
        ? `there is no run ${named} in ${store.place}`
        : `${named} is the beginning of ${matches.length} runs`,
      { hint: none ? elsewhere : 'see the runs there are: cutover runs' },
    );
  }
  for (const run of runs.toReversed()) {
    const [state] = await statesOf(store, [run]);
    if (!state || (purpose && isOver(state))) continue;
    if (!purpose || purpose.phases.some((phase) => phase === state.phase)) return state;
    // An older one may fit, but nobody who names none means it.
    throw new UsageError(
      `the latest run, ${state.run}, is ${state.phase}: there is nothing to ${purpose.to}`,
      {
        hint: `${nextFor(state)}; or name the run that you mean, see: cutover runs`,
      },
    );
  }
  throw new UsageError(`there are no runs ${runs.length === 0 ? 'yet' : 'for that'} in ${store.place}`, {
    hint: 'was it started in another folder, or with --state? say so with --state DIR',
  });
}

/** A run whose journal cannot be read, and why. */
export interface DamagedRun {
  readonly run: string;
  readonly reason: string;
}

/** Every run that there is; one damaged journal does not hide the others. */
export async function allRuns(store: JournalStore): Promise<{ states: RunState[]; damaged: DamagedRun[] }> {
  const states: RunState[] = [];
  const damaged: DamagedRun[] = [];
  for (const run of await runsOf(store)) {
    try {
      states.push(...(await statesOf(store, [run])));
    } catch (error) {
      damaged.push({ run, reason: messageOf(error) });
    }
  }
  return { states, damaged };
}

/** A process that died before its first event left an empty journal: no run, and nothing was touched. */
export async function statesOf(store: JournalStore, runs: readonly string[]): Promise<RunState[]> {
  const journals = await Promise.all(runs.map((run) => store.read(run)));
  return journals.filter((events) => events.length > 0).map((events) => fold(events));
}

/** Ids of all runs, oldest first. Throws UsageError when the folder of `--state` cannot be read. */
export async function runsOf(store: JournalStore): Promise<string[]> {
  try {
    return await store.list();
  } catch (cause) {
    throw new UsageError(`the runs cannot be read: ${messageOf(cause)}`, {
      cause,
      hint: 'give the folder that they are in with --state DIR',
    });
  }
}

/** Nothing is left to do with it. */
export const isOver = ({ phase }: RunState): boolean =>
  phase === 'refused' || phase === 'unwound' || phase === 'retired';

/** The run that somebody who asks for the status wants to see: one that is not settled comes before a later one that is. */
export async function runToShow(store: JournalStore): Promise<RunState> {
  const { states } = await allRuns(store);
  const open = states.findLast(({ phase }) => UNSETTLED.has(phase));
  return open ?? chooseRun(store, undefined);
}

/** How long the steps of a playbook took before: as the journals say, and besides what a rehearsal has written down. */
export async function measuredBefore(
  options: GlobalOptions & { readonly rates?: string },
  name: string,
): Promise<Measured[]> {
  const rehearsed = options.rates === undefined ? [] : await readRates(options.rates);
  // A store that cannot be read says so where it is needed.
  const { states } = await withStore(options, allRuns).catch(() => ({ states: [] }));
  const earlier = measuredIn(states, name);
  // They had the very rows.
  return earlier.length > 0 ? earlier : rehearsed;
}
