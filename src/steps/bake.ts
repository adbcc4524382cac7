import { setTimeout as sleep } from 'node:timers/promises';
import type { Catalog } from '../core/database/catalog.ts';
import type { CheckContext, Finding } from '../core/drivers/check.ts';
import { AbortedError, BakeError, InterruptedError, messageOf, TimeOverError } from '../core/errors.ts';
import type { BakeInput, Step, StepContext, StepResult } from '../core/step.ts';
import { formatDuration, plural } from '../util/units.ts';

/** Looks at green for a while, now that clients are on it. Fails with BakeError; ownership stays where it is. */
export const bake: Step = {
  kind: 'bake',
  async run(context) {
    const input = context.step.input as BakeInput;
    const began = performance.now();
    const streaks = new Map<string, number>();
    const cut = { ...context, signal: signalOf(context) };
    for (let rounds = 1; ; rounds += 1) {
      throwIfCut(cut);
      const looked = await round(cut);
      throwIfCut(cut);
      const findings = looked.flatMap((one) => one.findings);
      const failing = follow(streaks, looked);
      const over = looked.find(({ name }) => (streaks.get(name) ?? 0) >= input.failures);
      if (over) throw failed(input, over, findings);
      const passed = performance.now() - began;
      context.progress(Math.min(passed, input.for), input.for, 'estimate', wordsOf(failing, streaks));
      // Nobody has looked to the end as long as the last look found something.
      if (passed >= input.for && failing.length === 0) return good(rounds, passed, findings);
      const rest = input.for - passed;
      await sleep(rest > 0 ? Math.min(input.every, rest) : input.every, undefined, {
        signal: cut.signal,
      }).catch(() => throwIfCut(cut));
    }
  },
  probe: () => Promise.resolve('absent'),
  undo: () => Promise.resolve(undefined),
};

/** A window that closes is none of a bake's: what it needs was left over for it. */
const signalOf = ({ signal }: StepContext): AbortSignal =>
  signal.reason instanceof TimeOverError ? new AbortController().signal : signal;

/** A look that takes longer has found something. */
const LOOK_MS = 60_000;

/** After the switch the previous copy follows. */
const BACK = { from: 'green', to: 'blue' } as const;

const EMPTY: Catalog = { tables: [], objects: [] };

/** What one check found; several of one sort are told apart by their numbers. */
interface Looked {
  readonly name: string;
  readonly findings: readonly Finding[];
}

/** One look at everything. Never throws: what cannot be asked is found not to be well. */
async function round(context: StepContext): Promise<Looked[]> {
  const { database, plan } = context;
  const looked: Looked[] = [];
  try {
    const green = await database.reader('green');
    green.setDeadline(performance.now() + LOOK_MS);
    const given: CheckContext = {
      // The previous copy is none of a bake's: its checks are held to green by the playbook.
      blue: green,
      green,
      catalogs: { blue: EMPTY, green: EMPTY },
      expect: plan.expect,
      env: { ...context.env, GREEN_URL: await database.url('green') },
      signal: context.signal,
      wayBack: plan.live && {
        lag: () => database.live.lag(BACK),
        beat: (limit) => database.live.beat(BACK, limit),
        statements: (side) => database.live.statements(side),
      },
      progress: () => undefined,
    };
    for (const [index, { name, check }] of context.bake.entries()) {
      const before = context.bake.slice(0, index).filter((one) => one.name === name).length;
      const findings = await look(name, () => check.run(given));
      looked.push({ name: before === 0 ? name : `${name} ${before + 1}`, findings });
    }
  } catch (error) {
    looked.push({
      name: 'green',
      findings: [unknown('green', `green cannot be asked: ${messageOf(error)}`)],
    });
  } finally {
    // A transaction that stays open keeps the live database from being cleaned up; one whose connection broke is over.
    await database.releaseReaders().catch(() => undefined);
  }
  return [...looked, { name: 'way back', findings: await wayBack(context) }];
}

async function look(name: string, run: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await run();
  } catch (error) {
    return [unknown(name, messageOf(error))];
  }
}

const unknown = (check: string, message: string): Finding => ({ check, severity: 'unknown', message });

const warning = (message: string): Finding => ({ check: 'way back', severity: 'warning', message });

/** That the previous copy follows is no sign of green's health; who is to go back has to know. */
async function wayBack({ database, plan }: StepContext): Promise<Finding[]> {
  if (!plan.live) return [];
  try {
    const { running, error } = await database.live.lag(BACK);
    if (error !== undefined) return [warning(`the previous copy does not follow: ${error}`)];
    return running ? [] : [warning('nobody applies to the previous copy what is written')];
  } catch (error) {
    return [warning(`it cannot be asked whether the previous copy follows: ${messageOf(error)}`)];
  }
}

const isBad = ({ severity }: Finding): boolean => severity === 'failure' || severity === 'unknown';

/** Counts how often each check has failed in a row; gives those that fail. */
function follow(streaks: Map<string, number>, looked: readonly Looked[]): string[] {
  const failing = looked.filter(({ findings }) => findings.some(isBad)).map(({ name }) => name);
  for (const name of streaks.keys()) if (!failing.includes(name)) streaks.delete(name);
  for (const name of failing) streaks.set(name, (streaks.get(name) ?? 0) + 1);
  return failing;
}

const wordsOf = (failing: readonly string[], streaks: ReadonlyMap<string, number>): string =>
  failing.length === 0
    ? 'everything passes'
    : failing.map((name) => `${name} has failed ${plural(streaks.get(name)!, 'time')}`).join(', ');

function failed({ failures, onFailure }: BakeInput, over: Looked, findings: readonly Finding[]): BakeError {
  const first = over.findings.find(isBad)!;
  const times = failures === 1 ? '' : ` for ${failures} looks in a row`;
  return new BakeError(`green is not well${times}: ${first.check}: ${first.message}`, onFailure, {
    findings,
  });
}

function good(rounds: number, ms: number, findings: readonly Finding[]): StepResult {
  return {
    output: { rounds },
    findings,
    summary: `${plural(rounds, 'look')} in ${formatDuration(ms)}, and everything passes`,
  };
}

/** Whoever aborts wants back; a signal means that nobody is to look any more. */
function throwIfCut({ signal, plan }: StepContext): void {
  if (!signal.aborted) return;
  const reason: unknown = signal.reason;
  if (reason instanceof AbortedError) throw new BakeError(reason.message, 'swap-back', { cause: reason });
  throw new BakeError(`nobody looks after green any more: ${messageOf(reason)}`, 'hold', {
    cause: reason,
    ...(reason instanceof InterruptedError ? { exit: reason.exit } : {}),
    hint: `green stays live; to go back: cutover swap-back ${plan.run}`,
  });
}
