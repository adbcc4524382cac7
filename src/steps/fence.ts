import type { Step } from '../core/step.ts';
import { controlOf } from './shared/control.ts';
import { assertNotLive } from './shared/not-live.ts';
import type { FenceOutput } from './shared/proof.ts';

/** Closes blue to everybody until the switch, so that the copy stays complete without following blue. */
export const fence: Step = {
  kind: 'fence',
  async run(context) {
    const { database, plan } = context;
    // Closed by a process of this run that died: what is cloned from now on has whatever slips in meanwhile.
    if ((await database.state('blue'))?.closed) await database.reenter('blue', controlOf(context));
    await database.close('blue', plan.longTransactions, controlOf(context));
    const output: FenceOutput = { version: (await database.state('blue'))!.version };
    return { output, summary: `${plan.names.blue} accepts no connections; nobody is connected` };
  },
  async probe(context) {
    const blue = await context.database.state('blue');
    if (!blue) return 'unknown';
    return blue.closed ? 'done' : 'absent';
  },
  async undo(context) {
    if ((await this.probe(context)) === 'absent') return undefined;
    const mark = (await context.database.state('blue'))?.mark;
    // Opened by hand since, and set aside by a later run: to open it now would make two writable sides.
    if (mark) return `${context.plan.names.blue} of this run stays closed: run ${mark.run} keeps it`;
    await assertNotLive(context);
    await context.database.open('blue');
    return `${context.plan.names.blue} accepts connections again`;
  },
};
