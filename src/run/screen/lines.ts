import type { Event } from '../../core/event.ts';
import type { Plan, PlannedStep } from '../../core/plan.ts';
import { redact } from '../../util/redact.ts';
import { progressText, sentence } from './phrases.ts';
import type { Progress, Screen } from './screen.ts';

const PROGRESS_MS = 5000;

/** Plain lines with times, for logs and pipes. */
export class LineScreen implements Screen {
  readonly #write: (line: string) => void;
  readonly #summaries = new Map<string, string>();
  #titles = new Map<string, string>();
  #startedAt = 0;
  #shownAt = 0;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  start(plan: Plan): void {
    this.#titles = new Map(plan.steps.map((step) => [step.id, step.title]));
    this.#line(`run ${plan.run} of ${plan.name}`);
  }

  event(event: Event): void {
    if (event.type === 'step-started') {
      this.#startedAt = this.#shownAt = Date.now();
      this.#line(`${event.step}: ${this.#titles.get(event.step) ?? ''}`);
      return;
    }
    // Progress is shown as it comes, not as it is stored.
    if (event.type === 'step-progressed') return;
    const words = sentence(event);
    if (words === undefined) return;
    const step = 'step' in event ? `${event.step}: ` : '';
    const summary = event.type === 'step-succeeded' ? this.#summaries.get(event.step) : undefined;
    this.#line(`${step}${words}${summary ? `; ${summary}` : ''}`);
  }

  progress(step: PlannedStep, progress: Progress): void {
    // What a migration tool prints is printed: each line comes once.
    if (progress.unit !== 'migrations' && Date.now() - this.#shownAt < PROGRESS_MS) return;
    this.#shownAt = Date.now();
    this.#line(`${step.id}: ${progressText(progress, Date.now() - this.#startedAt)}`);
  }

  summary(step: PlannedStep, text: string | undefined): void {
    if (text) this.#summaries.set(step.id, text);
  }

  settle(): Promise<void> {
    return Promise.resolve();
  }

  end(): Promise<void> {
    return Promise.resolve();
  }

  #line(text: string): void {
    this.#write(redact(`${new Date().toISOString().slice(0, 19)}Z  ${text}`));
  }
}

/** One event a line on standard output, just as the journal has it. */
export class JsonScreen extends LineScreen {
  readonly #out: (line: string) => void;

  constructor(out: (line: string) => void) {
    super(() => undefined);
    this.#out = out;
  }

  override event(event: Event): void {
    this.#out(JSON.stringify(event));
  }
}
