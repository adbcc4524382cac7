import { chmod, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { namesOf } from '../plan/build.ts';
import { registries } from '../playbook/schema.ts';
import type { Environment } from '../playbook/values/environment.ts';
import { harmless } from '../util/harmless.ts';
import type { Read } from './read.ts';
import { stageFolder } from './stage/abandoned.ts';
import { Stage, type StageOptions } from './stage/stage.ts';
import { Take, type Planted, type TakeOptions } from './take.ts';

/** Where a rehearsal is, and who is in it. */
export interface Setting {
  readonly server: StageOptions['server'];
  readonly majors: StageOptions['majors'];
  readonly clients: TakeOptions['clients'];
  readonly env: Environment;
  /** The program's own file, which is started for every command. */
  readonly self: string;
  readonly tools: string | undefined;
  readonly signal: AbortSignal;
  /** Hears what is done, as it is done. */
  readonly progress: (line: string) => void;
}

/**
 * Sets up a stage with the fixture for as long as `work` goes on; `open` gives a take in a folder of that name, with what is
 * planted there.
 */
export async function onStage<T>(
  setting: Setting,
  text: Read,
  work: (stage: Stage, open: (name: string, planted?: Planted) => Promise<Take>) => Promise<T>,
): Promise<T> {
  const { playbook, fixture, blue } = text;
  const folder = await stageFolder(setting.progress);
  let stage: Stage | undefined;
  try {
    // The account of a server must be able to walk in.
    await chmod(folder, 0o711);
    setting.progress(`setting up the stage: fixture ${basename(fixture.folder)} at scale ${fixture.scale}`);
    const opened = await Stage.open({
      folder,
      names: namesOf(playbook, blue),
      across: playbook.greenUrl !== undefined,
      server: setting.server,
      majors: setting.majors,
      fixture,
      tools: setting.tools,
      signal: setting.signal,
    });
    stage = opened;
    setting.signal.throwIfAborted();
    return await work(opened, (name, planted) =>
      Take.open({ ...takeOptions(setting, text, opened, join(folder, name)), planted }),
    );
  } finally {
    try {
      await stage?.end();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

const takeOptions = (
  { clients, env, self, tools, signal }: Setting,
  { playbook, raw, scheme, fixture }: Read,
  stage: Stage,
  folder: string,
): Omit<TakeOptions, 'planted'> => ({
  stage,
  folder,
  playbook,
  raw,
  scheme,
  fixture,
  clients,
  variables: harmless(env.variables),
  drivers: {
    target: (name) => registries.targets[name],
    paths: (sort, name) => registries[sort][name]?.paths ?? [],
  },
  self,
  tools,
  signal,
});
