import type { Finding } from '../core/check.ts';
import { UsageError } from '../core/errors.ts';
import type { Event } from '../core/event.ts';
import type { RunState } from '../journal/fold.ts';
import { formatDuration } from '../util/units.ts';
import type { Stage } from './stage/stage.ts';
import { keptDatabase, type Planted, type Take } from './take.ts';
import type { Told } from './tool.ts';

const KINDS = ['kill', 'cut', 'crash', 'tamper', 'migration'] as const;
type Kind = (typeof KINDS)[number];

/** Those that are planted before the run, and belong to no step. */
const PLANTED: readonly Kind[] = ['tamper', 'migration'];

/** Something that goes wrong at the beginning of a step. */
export interface Fault {
  readonly kind: Kind;
  /** Undefined for what belongs to no step. */
  readonly step: string | undefined;
}

/** What a fault puts among the migrations. */
export const plantedBy = ({ kind }: Fault): Planted | undefined =>
  kind === 'tamper' || kind === 'migration' ? kind : undefined;

/** A kind at every step where it makes sense, or at one: `kill`, `cut@switch`. */
export interface FaultWish {
  readonly kind: Kind;
  readonly step: string | undefined;
}

export function readFaults(text: string): FaultWish[] {
  return text.split(',').map((each) => {
    const [name, step] = each.trim().split('@');
    const kind = KINDS.find((one) => one === name);
    if (!kind || (PLANTED.includes(kind) && step !== undefined))
      throw new UsageError(`--faults names ${each.trim()}, which is none`, {
        hint: `there are ${KINDS.join(', ')}; at one step: kill@clone`,
      });
    return { kind, step };
  });
}

/** Every fault of a run with these steps. Throws UsageError for a step that is not there. */
export function faultsOf(wishes: readonly FaultWish[], steps: readonly string[]): Fault[] {
  return wishes.flatMap(({ kind, step }): Fault[] => {
    if (step !== undefined && !steps.includes(step))
      throw new UsageError(`--faults names the step ${step}, which this plan does not have`, {
        hint: `its steps are ${steps.join(', ')}`,
      });
    if (step !== undefined) return [{ kind, step }];
    // Once is enough.
    if (PLANTED.includes(kind)) return [{ kind, step: undefined }];
    return steps.map((each) => ({ kind, step: each }));
  });
}

const begins = (event: Event, step: string | undefined): boolean =>
  event.type === 'step-started' && event.step === step;

export interface Struck {
  readonly told: Told;
  readonly state: RunState | undefined;
  /** It did what it is to do after such a thing. */
  readonly as: string;
  readonly well: boolean;
  /** What was to go wrong went wrong; otherwise nothing is shown. */
  readonly happened: boolean;
}

/** Makes the run with the fault in it, and what a person would do next. Clients are at work. */
export async function strike(
  take: Take,
  stage: Stage,
  { kind, step }: Fault,
  follows: boolean,
): Promise<Struck> {
  const { tool, clients } = take;
  const words = ['run', 'playbook.yml', '--yes', '--json'];
  const fence = (event: Event): void => {
    if (!follows && begins(event, 'fence')) clients.reading = true;
  };
  if (kind === 'kill') {
    const happened = await tool.killed(words, (event) => {
      fence(event);
      return begins(event, step);
    });
    const told = await tool.call(['resume', '--yes']);
    const state = (await take.runs()).at(-1);
    return { told, state, happened, as: 'it was resumed', well: told.code === 0 };
  }
  if (kind === 'tamper' || kind === 'migration') {
    const told = await tool.call(words, fence);
    const state = (await take.runs()).at(-1);
    const [by, code] = kind === 'tamper' ? ['the verification saw it', 5] : ['the run stopped at it', 4];
    return {
      told,
      state,
      happened: true,
      as: `${by}, and everything was put back`,
      well: told.code === code,
    };
  }
  let struck = Promise.resolve(0);
  const told = await tool.call(words, (event) => {
    fence(event);
    if (!begins(event, step)) return;
    struck = kind === 'crash' ? crash(stage) : cut(stage);
    // Told below, when the command has ended.
    struck.catch(() => undefined);
  });
  const happened = (await struck) > 0;
  const state = (await take.runs()).at(-1);
  // In the preflight it is a refusal.
  const well = told.code === 0 || told.code === 3 || told.code === 4;
  const as = told.code === 0 ? 'the run came through' : 'everything was put back';
  return { told, state, happened, as, well };
}

/** Ends every connection of the tool's to the servers, and gives how many there were. */
async function cut(stage: Stage): Promise<number> {
  let count = 0;
  for (const side of stage.sides) {
    const ended = await stage.ask(
      side,
      'postgres',
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'cutover 2%'`,
    );
    count += ended.length;
  }
  return count;
}

/** Servers that are started for it: elsewhere a crash would be everybody's. */
export const needsOwnServers = (wishes: readonly FaultWish[]): boolean =>
  wishes.some(({ kind }) => kind === 'crash');

/** Kills a process of every server, which throws out everybody and recovers; gives how many. */
async function crash(stage: Stage): Promise<number> {
  const killed: (() => Promise<void>)[] = [];
  for (const side of stage.sides) {
    const [one] = await stage.ask<{ pid: number }>(
      side,
      'postgres',
      `select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() limit 1`,
    );
    if (one) killed.push(() => stage.kill(side, one.pid));
  }
  for (const kill of killed) await kill();
  return killed.length;
}

/** As `--faults` names it. */
export const nameOf = ({ kind, step }: Fault): string => (step === undefined ? kind : `${kind}@${step}`);

/** What is told of a fault: that every promise held all the same, or which did not. */
export function faultFinding(
  { kind, step }: Fault,
  { told, as, well, happened }: Struck,
  promises: readonly Finding[],
): Finding {
  const check = nameOf({ kind, step });
  if (!happened) return { check, severity: 'note', message: 'it did not happen: the run was over before' };
  const broken = promises.filter(({ severity }) => severity === 'failure' || severity === 'unknown');
  if (well && broken.length === 0)
    return {
      check,
      severity: 'ok',
      message: `${as} (${formatDuration(told.to - told.from)}); ${promises.map(({ message }) => message).join('; ')}`,
    };
  const lines = broken.map((one) => `${one.check}: ${one.message}${one.detail ? `\n${one.detail}` : ''}`);
  return {
    check,
    severity: 'failure',
    message: messageFor(kind, well, told, broken),
    detail: [...lines, ...(well ? [] : [told.output.split('\n').slice(-20).join('\n')])].join('\n'),
  };
}

function messageFor(kind: Kind, well: boolean, { words, code }: Told, broken: readonly Finding[]): string {
  if (well) return `not every promise held: ${broken.map((one) => one.check).join(', ')}`;
  if (kind === 'tamper' && code === 0) return 'no check saw the row that nobody wrote on blue';
  if (kind === 'migration' && code === 0) return 'the migration that fails came through';
  return `cutover ${words.join(' ')} ended with ${code ?? 'a signal'}`;
}

/** What is left of a run that came through is retired; one that was put back has left nothing. */
export async function tidy(take: Take, state: RunState | undefined): Promise<void> {
  if (state?.phase === 'completed') await take.tool.call(['retire', '--confirm', keptDatabase(state)]);
}
