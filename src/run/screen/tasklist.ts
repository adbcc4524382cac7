import { DefaultRenderer, Listr, ListrLogger, ProcessOutput, type ListrTaskWrapper } from 'listr2';
import type { Event } from '../../core/event.ts';
import type { Plan, PlannedStep } from '../../core/plan.ts';
import { redact } from '../../util/redact.ts';
import { formatDuration } from '../../util/units.ts';
import { bar, progressText, sentence } from './phrases.ts';
import type { Progress, Screen } from './screen.ts';

/** listr2 looks at standard output only; the list is on standard error, which the command has looked at. */
class StderrRenderer extends DefaultRenderer {
  static override nonTTY = true;
}

type Task = ListrTaskWrapper<unknown, typeof StderrRenderer, typeof StderrRenderer>;

interface Shown {
  readonly step: PlannedStep;
  readonly settled: Promise<void>;
  done(): void;
  fail(error: Error): void;
  task?: Task;
  startedAt: number;
}

/**
 * The live list at a terminal. listr2 shows and sequences what is shown; the engine decides what happens, and each
 * task of the list only waits for its step's events. A gate ends one list and begins the next, so that a question has
 * the terminal to itself.
 */
export class TaskListScreen implements Screen {
  readonly #write: (line: string) => void;
  readonly #shown = new Map<string, Shown>();
  readonly #summaries = new Map<string, string>();
  #waiting: PlannedStep[] = [];
  #running: Promise<unknown> = Promise.resolve();

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  start(plan: Plan, from?: string): void {
    this.#waiting = plan.steps.slice(from === undefined ? 0 : plan.steps.findIndex(({ id }) => id === from));
    this.#showNext(0);
  }

  event(event: Event): void {
    switch (event.type) {
      case 'step-started': {
        const shown = this.#shown.get(event.step);
        if (shown) shown.startedAt = Date.now();
        return;
      }
      case 'step-retried': {
        const task = this.#shown.get(event.step)?.task;
        if (task) task.output = redact(sentence(event)!);
        return;
      }
      case 'step-succeeded':
        return this.#succeeded(event.step, event.ms);
      case 'step-failed':
        return this.#shown.get(event.step)?.fail(new Error(redact(event.error.message)));
      case 'gate-answered':
        if (event.answer === 'go') this.#showNext(1);
        return;
      case 'run-resumed':
        this.#write(sentence(event)!);
        return;
      case 'undo-failed':
        this.#write(`  ✖ ${event.step} could not be put back: ${event.error.message}`);
        return;
      default:
        return;
    }
  }

  progress(step: PlannedStep, progress: Progress): void {
    const shown = this.#shown.get(step.id);
    if (!shown?.task) return;
    const text = redact(progressText(progress, Date.now() - shown.startedAt));
    shown.task.output = [bar(progress), text].filter(Boolean).join(' ');
  }

  summary(step: PlannedStep, text: string | undefined): void {
    if (text) this.#summaries.set(step.id, redact(text));
  }

  async settle(): Promise<void> {
    await this.#running;
  }

  async end(): Promise<void> {
    // Steps that never came must not keep the list, and with it the process, waiting.
    for (const shown of this.#shown.values()) shown.fail(new Error('not reached'));
    await this.#running;
  }

  /** Shows the steps up to the next gate; one that was answered just now stands first, and is shown. */
  #showNext(after: 0 | 1): void {
    const gate = this.#waiting.findIndex((step, index) => step.kind === 'gate' && index >= after);
    const steps = this.#waiting.splice(0, gate === -1 ? this.#waiting.length : gate);
    const shown = steps.map(promised);
    for (const each of shown) this.#shown.set(each.step.id, each);
    const list = new Listr<unknown, typeof StderrRenderer, typeof StderrRenderer>(
      shown.map((each) => ({
        title: each.step.title,
        task: async (_context, task): Promise<void> => {
          each.task = task;
          await each.settled;
        },
      })),
      {
        renderer: StderrRenderer,
        rendererOptions: {
          collapseErrors: false,
          showErrorMessage: false,
          logger: new ListrLogger({
            useIcons: true,
            toStderr: [],
            processOutput: new ProcessOutput(process.stderr, process.stderr),
          }),
        },
        fallbackRendererCondition: false,
        exitOnError: true,
        // Its handler would unwind by its own lights and leave with exit code 127.
        registerSignalListeners: false,
      },
    );
    this.#running = this.#running.then(() => list.run()).catch(() => undefined);
  }

  #succeeded(id: string, ms: number): void {
    const shown = this.#shown.get(id);
    if (!shown) return;
    const summary = this.#summaries.get(id);
    if (shown.task)
      shown.task.title = `${shown.step.title} (${formatDuration(ms)})${summary ? `\n${summary}` : ''}`;
    shown.done();
  }
}

function promised(step: PlannedStep): Shown {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => undefined);
  return { step, settled: promise, done: resolve, fail: reject, startedAt: Date.now() };
}
