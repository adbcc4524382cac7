import { z } from 'zod';
import { duration } from '../../util/options.ts';

/** Timers of the platform hold no more than 24 days; nobody means longer than a week. */
const LONGEST_MS = 7 * 24 * 3600 * 1000;

const HOUR_MS = 3600 * 1000;

/** A time limit: more than nothing, at most a week. */
export const limit = () =>
  duration().refine((ms) => ms > 0 && ms <= LONGEST_MS, {
    error: 'must be more than nothing, and at most 7d',
  });

/** Doubled nine times it is still less than the timers hold. */
const pause = () =>
  duration().refine((ms) => ms > 0 && ms <= HOUR_MS, { error: 'must be more than nothing, and at most 1h' });

export const PHASES = [
  'preflight',
  'publish',
  'fence',
  'clone',
  'migrate',
  'sync',
  'verify',
  'gate',
  'switch',
  'keep',
  'bake',
] as const;

const phase = (when: string) =>
  z
    .enum(PHASES)
    .optional()
    .describe(`The phase ${when} which the line runs; exactly one of before and after.`);

const hook = () =>
  z
    .strictObject({
      before: phase('before'),
      after: phase('after'),
      run: z.string().min(1).describe('Shell line; run in the folder of the playbook.'),
      undo: z.string().min(1).optional().describe('Shell line that takes it back when the run unwinds.'),
      timeout: limit().prefault('1m').describe('Longest time for each of the two lines.'),
    })
    .refine(({ before, after }) => (before === undefined) !== (after === undefined), {
      error: 'must have exactly one of "before" and "after", as in "before: fence"',
    });

/** Somebody else's server is not asked more often. */
const SHORTEST_MS = 1000;

const timedGate = () =>
  z
    .strictObject({
      url: z
        .string()
        .min(1)
        .optional()
        .describe('An address that answers with 2xx once the switch may be made; may hold references.'),
      every: limit()
        .refine((ms) => ms >= SHORTEST_MS, { error: 'must be at least 1s' })
        .optional()
        .describe('How long after an answer the url is asked again; 15s unless given.'),
      timeout: limit().describe('How long an answer is waited for.'),
      // oxlint-disable-next-line unicorn/no-thenable -- the playbook's word; it holds no function
      then: z.enum(['stop', 'go']).prefault('stop').describe('The answer when the time is over.'),
    })
    .refine(({ url, every }) => url !== undefined || every === undefined, {
      error: 'says how often a url is asked; write the url, too',
      path: ['every'],
    });

/** Whether an unattended run needs somebody's word beforehand. */
export const approval = () =>
  z
    .enum(['none', 'required', 'on-warnings'])
    .prefault('none')
    .describe(
      'Whether an unattended run needs cutover approve: always, or when the preflight warns of something.',
    );

/** How a run is conducted: who is asked, what runs besides, how often and how long. */
export const conduct = () => ({
  gate: z
    .union([timedGate(), z.enum(['ask', 'open'])])
    .prefault('ask')
    .describe(
      'ask: a person says go before the switch; open: the switch follows by itself; with a timeout: who says nothing has said what stands under then.',
    ),
  hooks: z
    .array(hook())
    .nullable()
    .prefault([])
    .describe(
      "Shell lines of your own around the run's phases; one before a phase that fails stops the run.",
    ),
  retries: z
    .strictObject({
      limit: z.int().min(0).max(10).prefault(3).describe('How often a step is tried again; 0 for never.'),
      wait: pause().prefault('500ms').describe('Before the first one; each further one waits twice as long.'),
    })
    .prefault({})
    .describe('What is tried again when a step failed for a reason that is known to pass.'),
  limits: z
    .strictObject({
      connect: limit().prefault('10s').describe('One attempt to connect.'),
      lock: limit().prefault('10s').describe("A lock that one of cutover's own statements waits for."),
      statement: limit().prefault('1m').describe("Each of cutover's own short statements."),
      clone: limit().prefault('24h').describe('The whole clone.'),
      migrate: limit().prefault('24h').describe('Each migrator.'),
      sync: limit().prefault('24h').describe('Until green has caught up with blue.'),
      verify: limit().prefault('24h').describe('The whole verification.'),
    })
    .prefault({})
    .describe('How long what is waited for may take.'),
});

const fallback = (words: string) =>
  z
    .enum(['unwind', 'hold'])
    .prefault('unwind')
    .describe(`${words}: unwind puts everything back; hold stops, and green goes on following.`);

/** What becomes of a run that follows, when it does not come through. */
export const onFailure = () =>
  z
    .strictObject({
      sync: fallback('Green does not catch up with blue'),
      verify: fallback('The verification finds differences, or fails'),
      gate: fallback('Nobody answers the gate in time'),
      switch: fallback('The switch fails before its commit point, or its pause budget runs out for good'),
    })
    .prefault({})
    .describe('With sync: what follows when a step fails before green is live.');

/** What is looked at when green is live. */
export const bake = (check: z.ZodType) =>
  z
    .strictObject({
      for: limit().describe('How long green is looked after when it is live.'),
      every: duration()
        .refine((ms) => ms >= 500 && ms <= 3_600_000, { error: 'must be at least 500ms, and at most 1h' })
        .prefault('10s')
        .describe('How long it is between two looks.'),
      failures: z
        .int()
        .min(1)
        .max(100)
        .prefault(3)
        .describe('How often in a row a check may fail until the bake has failed.'),
      checks: z
        .array(check)
        .min(1, { error: 'must name at least one check: what shows that green is well?' })
        .describe('What is looked at on green.'),
      'on-failure': z
        .enum(['hold', 'swap-back'])
        .prefault('hold')
        .describe('hold: green stays live, and a person looks; swap-back: blue becomes live again.'),
    })
    .optional()
    .describe('What is looked at for a while after the switch, and what follows when it is not well.');
