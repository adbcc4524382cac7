import { z } from 'zod';
import type { Driver } from '../core/drivers/driver.ts';
import type { Notice, Notifier, NotifierContext } from '../core/drivers/notice.ts';
import { failureOf, run as execute, shellLine } from '../util/exec.ts';
import { harmless } from '../util/harmless.ts';
import { redact } from '../util/redact.ts';
import { CHILD_VARIABLE } from '../util/stray.ts';
import { noticeOptions } from './shared/manner.ts';

const options = noticeOptions({
  run: z.string().min(1).meta({ description: 'A shell line; run in the folder of the playbook.' }),
});
type Options = z.infer<typeof options>;

/** Characters of a line that name it. */
const SHOWN = 60;

/** Runs a shell line for each notice. */
export const command: Driver<Options, NotifierContext, Notifier> = {
  name: 'command',
  summary: 'A shell line of your own, with the notice in its environment',
  options,
  verbatim: ['run'],
  open: ({ run, on, timeout }, { folder, env }) => ({
    place: `command ${redact(run).trim().split('\n', 1)[0]!.slice(0, SHOWN)}`,
    on,
    timeout,
    async send(notice, signal) {
      const result = await execute(shellLine(run), {
        cwd: folder,
        // It is to say what happened, and needs to know of no database for that.
        env: { ...harmless(env), [CHILD_VARIABLE]: undefined, ...variables(notice) },
        timeout,
        signal,
      });
      const problem = failureOf(result, timeout);
      if (problem === undefined) return;
      const last = redact(result.output).trimEnd().split('\n').at(-1)!;
      throw new Error(last === '' ? `it ${problem}` : `it ${problem}: ${last}`);
    },
  }),
};

const variables = ({ event, run, playbook, outcome, message, next, exit, at }: Notice) => ({
  CUTOVER_EVENT: event,
  CUTOVER_RUN: run ?? '',
  CUTOVER_PLAYBOOK: playbook,
  CUTOVER_OUTCOME: outcome,
  CUTOVER_MESSAGE: message,
  CUTOVER_NEXT: next,
  CUTOVER_EXIT: exit === undefined ? '' : String(exit),
  CUTOVER_AT: at,
});
