import { EXIT } from '../../core/errors.ts';
import type { Event } from '../../core/event.ts';
import type { RunState } from '../../journal/fold.ts';
import type { Take } from '../take.ts';
import type { Told } from '../tool.ts';
import type { Window } from '../verdict.ts';

/** What became of a run with a fault in it. */
export interface Struck {
  readonly told: Told;
  readonly state: RunState | undefined;
  /** It did what it is to do after such a thing. */
  readonly as: string;
  readonly well: boolean;
  /** What was to go wrong went wrong; otherwise nothing is shown. */
  readonly happened: boolean;
  /** When clients may be turned away, where that is not all the time. */
  readonly away?: readonly Window[];
  /** What there was on the servers after everything had been put back, and had not been there before, or the other way. */
  readonly left?: readonly string[];
}

export const RUN = ['run', 'playbook.yml', '--yes', '--json'] as const;

/** A run that its playbook holds is put back, as somebody would who has seen enough; undefined when it is not held. */
export const putBackHeld = async ({ tool }: Take, { code }: Told): Promise<Told | undefined> =>
  code === EXIT.held ? await tool.call(['abort']) : undefined;

export const begins = (event: Event, step: string | undefined): boolean =>
  event.type === 'step-started' && event.step === step;
