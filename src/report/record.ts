import type { Finding } from '../core/drivers/check.ts';
import type { Event } from '../core/event.ts';
import type { RunState } from '../journal/fold.ts';
import { sentence } from '../run/screen/phrases.ts';

/** What was found in all of a run's steps. */
export const findingsOf = ({ plan, steps }: RunState): Finding[] =>
  plan.steps.flatMap(({ id }) => steps[id]!.findings);

/** The run ended as it should, and nothing of it waits for anybody. */
export const isWell = ({ phase, error }: RunState): boolean =>
  ['completed', 'swapped back', 'retired'].includes(phase) && error === undefined;

/** What became of a run, in one sentence. */
export function outcomeOf({ plan, phase, live, error }: RunState): string {
  const name = live === 'green' && !plan.renames ? plan.names.green : plan.names.blue;
  return `${phase}; ${live} is live (database ${name})${error ? `: ${error.message}` : ''}`;
}

export interface Line {
  /** ISO 8601. */
  readonly at: string;
  readonly text: string;
}

/** A line for each event that says something to a person. */
export const linesOf = (events: readonly Event[]): Line[] =>
  events.flatMap((event) => {
    if (event.type === 'step-progressed') return [];
    const words = event.type === 'step-started' ? 'begins' : sentence(event);
    if (words === undefined) return [];
    return [{ at: event.at, text: 'step' in event ? `${event.step}: ${words}` : words }];
  });
