import { chmod, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Finding } from '../core/check.ts';
import { UsageError } from '../core/errors.ts';
import { readFixture, type Fixture } from '../databases/postgres/embedded/fixture.ts';
import type { RunState } from '../journal/fold.ts';
import { namesOf } from '../plan/build.ts';
import { loadPlaybook } from '../playbook/load.ts';
import { registries } from '../playbook/schema.ts';
import { createEnvironment, type Environment } from '../playbook/values/environment.ts';
import type { Playbook } from '../core/playbook.ts';
import { databaseOf } from '../util/url.ts';
import type { Answered, ClientError } from './clients.ts';
import { readRaw } from './restage.ts';
import { Stage, type StageOptions } from './stage.ts';
import { closed, live } from './story.ts';
import { liveDatabase, Take, type TakeOptions } from './take.ts';
import type { Told } from './tool.ts';
import { heldOf, verdictOf, type Held } from './verdict.ts';

export interface Rehearsing {
  readonly file: string;
  readonly fixture: string | undefined;
  readonly scale: number | undefined;
  readonly seed: number | undefined;
  readonly server: string | undefined;
  readonly majors: StageOptions['majors'];
  readonly clients: TakeOptions['clients'];
  readonly env: Environment;
  /** The program's own file, which is started for every command. */
  readonly self: string;
  readonly tools: string | undefined;
  readonly signal: AbortSignal;
  /** Hears what is done, as it is done. */
  readonly progress: (line: string) => void;
  readonly heard: (told: Told) => void;
}

export interface Rehearsal {
  readonly playbook: string;
  readonly live: boolean;
  readonly fixture: Pick<Fixture, 'folder' | 'scale' | 'seed'>;
  readonly versions: Stage['versions'];
  readonly told: readonly Told[];
  readonly runs: readonly RunState[];
  readonly held: readonly Held[];
  readonly answered: readonly Answered[];
  readonly errors: readonly ClientError[];
  readonly acknowledged: number;
  readonly findings: readonly Finding[];
  /** What of the playbook was not rehearsed, a line each. */
  readonly without: readonly string[];
}

/** Performs a playbook on a stage, with clients at work: there and back and there again. Nothing real is reached. */
export async function rehearse(rehearsing: Rehearsing): Promise<Rehearsal> {
  const { signal, progress } = rehearsing;
  const { playbook, raw, fixture, scheme, blue } = await read(rehearsing);
  const folder = await mkdtemp(join(tmpdir(), 'cutover-rehearsal-'));
  // The account of a server must be able to walk in.
  await chmod(folder, 0o711);
  progress(`setting up the stage: fixture ${basename(fixture.folder)} at scale ${fixture.scale}`);
  const stage = await Stage.open({
    folder,
    names: namesOf(playbook, blue),
    across: playbook.greenUrl !== undefined,
    server: rehearsing.server,
    majors: rehearsing.majors,
    fixture,
  });
  try {
    signal.throwIfAborted();
    const take = await Take.open({
      stage,
      folder: join(folder, 'take'),
      playbook,
      raw,
      scheme,
      fixture,
      clients: rehearsing.clients,
      variables: harmless(rehearsing.env.variables),
      drivers: {
        target: (name) => registries.targets[name],
        paths: (sort, name) => registries[sort][name]?.paths ?? [],
      },
      self: rehearsing.self,
      tools: rehearsing.tools,
      signal,
    });
    try {
      return await perform(take, stage, playbook, fixture, rehearsing);
    } finally {
      await take.end();
    }
  } finally {
    await stage.end();
  }
}

async function perform(
  take: Take,
  stage: Stage,
  playbook: Playbook,
  fixture: Fixture,
  { heard, progress }: Rehearsing,
): Promise<Rehearsal> {
  const follows = playbook.sync.method === 'logical';
  const before = await stage.inventory();
  progress('clients begin to work');
  await (follows ? live : closed)(take, heard);
  await take.clients.stop();
  const runs = await take.runs();
  const held = heldOf(await take.events());
  const there = liveDatabase(runs.at(-1), stage);
  const problems = await take.ledger.problems((sql) => stage.ask(there.side, there.name, sql));
  const { answered, errors } = take.clients;
  const { acknowledged } = take.ledger;
  const { told } = take.tool;
  const common = { live: follows, told, runs, held, answered, errors, acknowledged };
  const on = playbook.greenUrl === undefined ? '' : ` on ${there.side}'s server`;
  const expected = [`database ${there.name}${on}`];
  const kept = before.filter((line) => !line.startsWith('database '));
  return {
    ...common,
    playbook: playbook.name,
    fixture: { folder: fixture.folder, scale: fixture.scale, seed: fixture.seed },
    versions: stage.versions,
    findings: verdictOf({ ...common, problems, before: kept, after: await stage.inventory(), expected }),
    without: take.without,
  };
}

interface Read {
  readonly playbook: Playbook;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly fixture: Fixture;
  /** Of blue's connection string. */
  readonly scheme: string;
  readonly blue: string;
}

const URL = /^\s*(postgres(?:ql)?(?:\+\w+)?):\/\//i;

async function read({ file, env, fixture: given, scale, seed }: Rehearsing): Promise<Read> {
  const raw = readRaw(await readFile(file, 'utf8').catch(() => '')) ?? {};
  const folder = given ?? fixtureOf(raw, file);
  const named = folder === undefined ? undefined : await readFixture(folder);
  const whole = createEnvironment({ ...placeholders(raw, named?.database ?? 'blue'), ...env.variables });
  const playbook = await loadPlaybook(file, whole);
  if (!named)
    throw new UsageError('there is nothing to rehearse on', {
      where: file,
      hint: 'give the folder of a fixture: --fixture DIR',
    });
  const url = playbook.blue.kind === 'url' ? whole.resolve(playbook.blue.url) : undefined;
  const blue = playbook.blue.kind === 'embedded' ? playbook.blue.database : databaseOf(url!)!;
  const fixture = {
    ...named,
    ...(scale !== undefined && { scale }),
    ...(seed !== undefined && { seed }),
  };
  return { playbook, raw, fixture, blue, scheme: URL.exec(url ?? '')?.[1] ?? 'postgresql' };
}

/** The fixture that the playbook itself names. */
function fixtureOf({ blue }: Read['raw'], file: string): string | undefined {
  const embedded = typeof blue === 'object' && blue !== null ? (blue as Read['raw'])['embedded'] : undefined;
  const fixture = (embedded as { fixture?: unknown } | null | undefined)?.fixture;
  return typeof fixture === 'string' ? resolve(file, '..', fixture) : undefined;
}

/** The variable that a value is a reference to, and nothing else. */
const variableOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? /^\s*\$\{(\w+)\}\s*$/.exec(value)?.[1] : undefined;

/**
 * Whoever rehearses need not know where the real databases are: references to them that are not set get a value by which
 * the playbook can be read. None of it is ever connected to.
 */
function placeholders(raw: Read['raw'], database: string): Record<string, string> {
  const found: Record<string, string> = {};
  const put = (value: unknown, host: string, name: string): void => {
    const variable = variableOf(value);
    if (variable !== undefined) found[variable] = `postgresql://${host}/${encodeURIComponent(name)}`;
  };
  put(raw['blue'], 'stage', database);
  put(raw['green'], 'stage', `${database}_green`);
  const targets = (raw['switch'] as { targets?: unknown } | undefined)?.targets;
  for (const target of Array.isArray(targets) ? targets : [])
    for (const [driver, options] of Object.entries((target ?? {}) as Read['raw']))
      for (const key of registries.targets[driver]?.secrets ?? [])
        put((options as Read['raw'] | null)?.[key], `stage-${key}`, database);
  return found;
}

/** Nothing that runs on the stage knows where a real database is. */
const harmless = (variables: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).filter(([name, value]) => !name.startsWith('PG') && !URL.test(value)),
  );
