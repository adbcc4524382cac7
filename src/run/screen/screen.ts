import type { Event } from '../../core/event.ts';
import type { Plan, PlannedStep } from '../../core/plan.ts';

export interface Progress {
  readonly done: number;
  /** 0 when nobody knows. */
  readonly total: number;
  readonly unit: string;
  readonly note?: string;
}

/** Shows a run while it goes on. What it shows never decides what happens. */
export interface Screen {
  /** `from` is the id of the first step that is executed, when it is not the plan's first. */
  start(plan: Plan, from?: string): void;
  /** Every event, after it was stored. */
  event(event: Event): void;
  progress(step: PlannedStep, progress: Progress): void;
  /** What a step did, with figures. */
  summary(step: PlannedStep, text: string | undefined): void;
  /** Clears the way for a question on the terminal. */
  settle(): Promise<void>;
  end(): Promise<void>;
}
