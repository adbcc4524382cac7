import type { Event } from '../../core/event.ts';
import type { RunState } from '../../journal/fold.ts';
import type { Stage } from '../stage/stage.ts';
import { keptDatabase, type Take } from '../take.ts';
import { hindered } from './hindered.ts';
import { crash, cut } from './once.ts';
import { begins, putBackHeld, RUN, type Struck } from './struck.ts';
import type { Fault } from './wish.ts';

/** Makes the run with the fault in it, and what a person would do next. Clients are at work. */
export async function strike(take: Take, stage: Stage, fault: Fault, follows: boolean): Promise<Struck> {
  const { kind, step } = fault;
  const { tool, clients } = take;
  const fence = (event: Event): void => {
    if (!follows && begins(event, 'fence')) clients.reading = true;
  };
  if (kind === 'refuse' || kind === 'full' || kind === 'slow') return hindered(take, stage, fault, fence);
  if (kind === 'kill') {
    const happened = await tool.killed(RUN, (event) => {
      fence(event);
      return begins(event, step);
    });
    const told = await tool.call(['resume', '--yes']);
    const state = (await take.runs()).at(-1);
    return { told, state, happened, as: 'it was resumed', well: told.code === 0 };
  }
  if (kind === 'tamper' || kind === 'migration') {
    const told = await tool.call(RUN, fence);
    const aborted = await putBackHeld(take, told);
    const state = (await take.runs()).at(-1);
    const [by, code] = kind === 'tamper' ? ['the verification saw it', 5] : ['the run stopped at it', 4];
    return {
      told: aborted ?? told,
      state,
      happened: true,
      as: aborted
        ? `${by} and was held, and abort put everything back`
        : `${by}, and everything was put back`,
      well: aborted ? aborted.code === 0 : told.code === code,
    };
  }
  let struck = Promise.resolve(0);
  const told = await tool.call(RUN, (event) => {
    fence(event);
    if (!begins(event, step)) return;
    struck = kind === 'crash' ? crash(stage) : cut(stage);
    // Told below, when the command has ended.
    struck.catch(() => undefined);
  });
  const happened = (await struck) > 0;
  const aborted = await putBackHeld(take, told);
  const state = (await take.runs()).at(-1);
  if (aborted)
    return {
      told: aborted,
      state,
      happened,
      as: 'the run was held, and abort put everything back',
      well: aborted.code === 0,
    };
  // In the preflight it is a refusal.
  const well = told.code === 0 || told.code === 3 || told.code === 4;
  const as = told.code === 0 ? 'the run came through' : 'everything was put back';
  return { told, state, happened, as, well };
}

/** What is left of a run that came through is retired; one that was put back has left nothing. */
export async function tidy(take: Take, state: RunState | undefined): Promise<void> {
  if (state?.phase === 'completed') await take.tool.call(['retire', '--confirm', keptDatabase(state)]);
}
