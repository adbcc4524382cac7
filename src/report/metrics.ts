import type { Lag } from '../core/database/live.ts';
import { UNSETTLED, type RunPhase, type RunState } from '../journal/fold.ts';

/** What metrics are made of. */
export interface Measurable {
  /** Of all runs, oldest first. */
  readonly states: readonly RunState[];
  /** How many journals cannot be read. */
  readonly damaged: number;
  /** When a window opens next, by the playbook's name; milliseconds since 1970. */
  readonly openings: ReadonlyMap<string, number>;
  /** How far the side that is not live is behind, by the playbook's name; of those whose servers were asked. */
  readonly lags: ReadonlyMap<string, Lag>;
}

interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
  /** Behind the family's name. */
  readonly suffix?: '_total';
}

interface Family {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly unit?: 'seconds' | 'bytes';
  readonly help: string;
  readonly samples: readonly Sample[];
}

const PHASES: readonly RunPhase[] = [
  'running',
  'held',
  'unwinding',
  'completed',
  'unwound',
  'refused',
  'stuck',
  'swapping back',
  'swapped back',
  'retiring',
  'retired',
];

/** What never changes any more: a counter does not go back. */
function endOf({ phase, switchedAt, endedAt }: RunState): 'completed' | 'unwound' | 'refused' | undefined {
  if (phase === 'unwound' || phase === 'refused') return phase;
  return endedAt !== undefined && switchedAt !== undefined && phase !== 'stuck' && phase !== 'unwinding'
    ? 'completed'
    : undefined;
}

const seconds = (ms: number): number => ms / 1000;
const secondsAt = (iso: string): number => seconds(Date.parse(iso));

/**
 * All runs as metrics in the OpenMetrics text format. Of its types only those are used that the text format of before has
 * too, which node_exporter reads.
 */
export function metricsText({ states, damaged, openings, lags }: Measurable): string {
  const last = new Map(states.map((state) => [state.plan.name, state]));
  const of = (samples: (state: RunState) => readonly Sample[]): Sample[] =>
    [...last].flatMap(([playbook, state]) =>
      samples(state).map((sample) => ({ ...sample, labels: { playbook, ...sample.labels } })),
    );
  const families: Family[] = [
    ...lastRun(of),
    ...allRuns(states, [...last.keys()]),
    ...following(lags),
    {
      name: 'cutover_journals_damaged',
      type: 'gauge',
      help: 'Journals that cannot be read.',
      samples: [{ value: damaged }],
    },
    {
      name: 'cutover_next_window_timestamp_seconds',
      type: 'gauge',
      unit: 'seconds',
      help: 'When a maintenance window of the playbook opens next.',
      samples: [...openings].map(([playbook, opens]) => ({ labels: { playbook }, value: seconds(opens) })),
    },
  ];
  return [...families.flatMap(familyLines), '# EOF', ''].join('\n');
}

function following(lags: Measurable['lags']): Family[] {
  const of = (value: (lag: Lag) => number): Sample[] =>
    [...lags].map(([playbook, lag]) => ({ labels: { playbook }, value: value(lag) }));
  return [
    {
      name: 'cutover_following',
      type: 'gauge',
      help: 'Whether the side that is not live applies what is written to the live one.',
      samples: of(({ running, error }) => (running && error === undefined ? 1 : 0)),
    },
    {
      name: 'cutover_lag_bytes',
      type: 'gauge',
      unit: 'bytes',
      help: 'By how much the side that is not live is behind.',
      samples: of(({ bytes }) => bytes),
    },
  ];
}

function lastRun(of: (samples: (state: RunState) => readonly Sample[]) => Sample[]): Family[] {
  return [
    {
      name: 'cutover_last_run_timestamp_seconds',
      type: 'gauge',
      unit: 'seconds',
      help: 'When the last run of the playbook began.',
      samples: of(({ startedAt }) => [{ value: secondsAt(startedAt) }]),
    },
    {
      name: 'cutover_last_run_exit_code',
      type: 'gauge',
      help: 'The exit code of the last run; not there as long as it goes on.',
      samples: of(({ exit }) => (exit === undefined ? [] : [{ value: exit }])),
    },
    {
      name: 'cutover_last_run_outcome',
      type: 'gauge',
      help: 'What became of the last run: 1 for the one outcome that it has.',
      samples: of(({ phase }) =>
        PHASES.map((each) => ({
          labels: { outcome: each.replace(' ', '-') },
          value: each === phase ? 1 : 0,
        })),
      ),
    },
    {
      name: 'cutover_step_duration_seconds',
      type: 'gauge',
      unit: 'seconds',
      help: 'How long the steps of the last run took.',
      samples: of(({ plan, steps }) =>
        plan.steps.flatMap(({ id }) => {
          const { ms } = steps[id]!;
          return ms === undefined ? [] : [{ labels: { step: id }, value: seconds(ms) }];
        }),
      ),
    },
    {
      name: 'cutover_pause_seconds',
      type: 'gauge',
      unit: 'seconds',
      help: 'How long clients were held at a step of the last run; without sync, how long they were shut out from the fence to the end of the switch.',
      samples: of(pauses),
    },
    {
      name: 'cutover_live_side',
      type: 'gauge',
      help: 'The side of the last run that is live: 1 for one of the two.',
      samples: of(({ live }) =>
        (['blue', 'green'] as const).map((side) => ({ labels: { side }, value: side === live ? 1 : 0 })),
      ),
    },
  ];
}

function allRuns(states: readonly RunState[], playbooks: readonly string[]): Family[] {
  const ends = ['completed', 'unwound', 'refused'] as const;
  const count = (playbook: string, fits: (state: RunState) => boolean): number =>
    states.filter((state) => state.plan.name === playbook && fits(state)).length;
  return [
    {
      name: 'cutover_runs',
      type: 'counter',
      help: 'Runs that have ended, by how they ended; a swap back later is another matter.',
      samples: playbooks.flatMap((playbook) =>
        ends.map((outcome) => ({
          labels: { playbook, outcome },
          value: count(playbook, (state) => endOf(state) === outcome),
          suffix: '_total' as const,
        })),
      ),
    },
    {
      name: 'cutover_runs_unsettled',
      type: 'gauge',
      help: 'Runs that are at work, or wait for somebody.',
      samples: playbooks.map((playbook) => ({
        labels: { playbook },
        value: count(playbook, ({ phase }) => UNSETTLED.has(phase)),
      })),
    },
  ];
}

/** Of each step that held clients, how long. */
function pauses(state: RunState): Sample[] {
  const { plan, steps } = state;
  return plan.steps.flatMap(({ id, kind }): Sample[] => {
    const { output, startedAt, ms: took } = steps[id]!;
    const { ms, heldMs } = (output ?? {}) as { ms?: number; heldMs?: number };
    if (kind !== 'switch')
      return heldMs === undefined ? [] : [{ labels: { step: id }, value: seconds(heldMs) }];
    if (ms === undefined) return [];
    if (plan.live) return [{ labels: { step: id }, value: seconds(ms) }];
    const fence = plan.steps.find((step) => step.kind === 'fence');
    const from = fence && steps[fence.id]!.startedAt;
    if (from === undefined || startedAt === undefined || took === undefined) return [];
    return [{ labels: { step: id }, value: seconds(Date.parse(startedAt) + took - Date.parse(from)) }];
  });
}

const escaped = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

function familyLines({ name, type, unit, help, samples }: Family): string[] {
  if (samples.length === 0) return [];
  return [
    `# TYPE ${name} ${type}`,
    ...(unit === undefined ? [] : [`# UNIT ${name} ${unit}`]),
    `# HELP ${name} ${escaped(help)}`,
    ...samples.map(({ labels = {}, value, suffix = '' }) => {
      const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
      return `${name}${suffix}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`;
    }),
  ];
}
