import { setTimeout as sleep } from 'node:timers/promises';
import type { Attributes, Span, Tracer } from '@opentelemetry/api';
import type { Event } from '../core/event.ts';
import { messageOf } from '../core/errors.ts';
import type { Plan } from '../core/plan.ts';
import type { Side } from '../core/side.ts';
import { redact } from '../util/redact.ts';
import { version } from '../util/version.ts';
import type { Screen } from './screen/screen.ts';

type Api = typeof import('@opentelemetry/api');

/** Where a process takes a run up. */
export interface Taken {
  readonly plan: Plan;
  readonly live: Side;
  /** Of a run that another process had begun. */
  readonly resumed: boolean;
  /** When clients were shut out by it, before this process. */
  readonly fencedAt?: string | undefined;
}

/** An exporter that is away does not keep the process. */
const FLUSH_MS = 5000;

/** Shows the same, and makes spans of a run's events with whatever provider is registered; without one nothing comes of them. */
export async function traced(screen: Screen, taken: Taken): Promise<Screen & { flush(): Promise<void> }> {
  const spans = new RunSpans(await import('@opentelemetry/api'), taken);
  return {
    start: (plan, from) => screen.start(plan, from),
    event(event) {
      screen.event(event);
      spans.event(event);
    },
    progress: (step, progress) => screen.progress(step, progress),
    summary: (step, text) => screen.summary(step, text),
    settle: () => screen.settle(),
    end: () => screen.end(),
    flush: () => spans.end(),
  };
}

/** A span for what a process does of a run, and one below it for each step, each undo and a swap back. */
export class RunSpans {
  readonly #api: Api;
  readonly #tracer: Tracer;
  readonly #taken: Taken;
  readonly #root: Span;
  readonly #open = new Map<string, Span>();
  #pauseMs: number | undefined;
  #fencedAt: number | undefined;
  #settled = false;

  constructor(api: Api, taken: Taken) {
    const { plan, live, resumed, fencedAt } = taken;
    this.#api = api;
    this.#taken = taken;
    this.#fencedAt = fencedAt === undefined ? undefined : Date.parse(fencedAt);
    this.#tracer = api.trace.getTracer('cutover', version());
    this.#root = this.#tracer.startSpan(resumed ? 'cutover resume' : 'cutover run', {
      attributes: {
        'cutover.run': plan.run,
        'cutover.playbook': plan.name,
        'cutover.live_side': live,
        'cutover.resumed': resumed,
      },
    });
  }

  /** Never throws: what is only told about a run does not decide about it. */
  event(event: Event): void {
    try {
      this.#follow(event);
    } catch (error) {
      process.emitWarning(`spans cannot be made: ${redact(messageOf(error))}`);
    }
  }

  /** Closes what is open, and waits a bounded time until the provider has sent everything. Never throws. */
  async end(): Promise<void> {
    try {
      for (const span of this.#open.values()) span.end();
      this.#open.clear();
      if (!this.#settled) this.#fail(this.#root, 'the process ended before the run was settled');
      if (this.#pauseMs !== undefined) this.#root.setAttribute('cutover.pause_ms', this.#pauseMs);
      this.#root.end();
      await flush(this.#api);
    } catch (error) {
      process.emitWarning(`spans cannot be sent: ${redact(messageOf(error))}`);
    }
  }

  #follow(event: Event): void {
    switch (event.type) {
      case 'step-started': {
        const kind = this.#kindOf(event.step);
        if (kind === 'fence') this.#fencedAt = Date.parse(event.at);
        return this.#start(`step ${event.step}`, event, {
          'cutover.step': event.step,
          'cutover.step_kind': kind ?? 'unknown',
        });
      }
      case 'step-retried':
        return void this.#open.get(`step ${event.step}`)?.addEvent('retried', {
          'cutover.attempt': event.attempt,
          'cutover.error': redact(event.error.message),
        });
      case 'step-succeeded':
        return this.#stop(`step ${event.step}`, event, this.#pauseOf(event));
      case 'step-failed':
        return this.#stop(`step ${event.step}`, event, {}, event.error.message);
      case 'undo-started':
        return this.#start(`undo ${event.step}`, event, { 'cutover.step': event.step });
      case 'undo-finished':
        return this.#stop(`undo ${event.step}`, event);
      case 'undo-failed':
        return this.#stop(`undo ${event.step}`, event, {}, event.error.message);
      case 'swap-back-started':
        return this.#start('swap back', event, {});
      case 'swap-back-failed':
        return this.#stop('swap back', event, {}, event.error.message);
      case 'swap-back-finished':
        this.#stop('swap back', event);
        return this.#settle('swapped-back', event.exit);
      case 'ownership-moved':
        return void this.#root.setAttribute('cutover.live_side', event.to);
      case 'run-finished':
        // Blue was shut until then; after a switch its end has counted.
        if (event.outcome === 'unwound' && this.#fencedAt !== undefined) this.#held(Date.parse(event.at));
        return this.#settle(event.outcome, event.exit, event.error?.message);
      case 'run-held':
        return this.#settle('held', event.exit, event.error?.message);
      default:
        return undefined;
    }
  }

  #kindOf(step: string): string | undefined {
    return this.#taken.plan.steps.find(({ id }) => id === step)?.kind;
  }

  #start(name: string, { at }: Event, attributes: Attributes): void {
    const { trace, ROOT_CONTEXT } = this.#api;
    const run = { 'cutover.run': this.#taken.plan.run };
    const span = this.#tracer.startSpan(
      name,
      { startTime: new Date(at), attributes: { ...run, ...attributes } },
      trace.setSpan(ROOT_CONTEXT, this.#root),
    );
    this.#open.set(name, span);
  }

  #stop(name: string, { at }: Event, attributes: Attributes = {}, error?: string): void {
    const span = this.#open.get(name);
    if (!span) return;
    this.#open.delete(name);
    span.setAttributes(attributes);
    if (error !== undefined) this.#fail(span, error);
    span.end(new Date(at));
  }

  #fail(span: Span, message: string): void {
    span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: redact(message) });
  }

  #settle(outcome: string, exit: number | undefined, error?: string): void {
    this.#settled = true;
    this.#root.setAttribute('cutover.outcome', outcome);
    if (exit !== undefined) this.#root.setAttribute('cutover.exit_code', exit);
    if (exit !== undefined && exit !== 0) this.#fail(this.#root, error ?? outcome);
  }

  /** How long clients were held by a step, where it has measured that; without sync from the fence to the switch's end. */
  #pauseOf({ step, output, at }: Extract<Event, { type: 'step-succeeded' }>): Attributes {
    const kind = this.#kindOf(step);
    if (kind === 'switch' && !this.#taken.plan.live) {
      if (this.#fencedAt !== undefined) this.#held(Date.parse(at));
      return {};
    }
    const { ms, heldMs } = (output ?? {}) as { ms?: number; heldMs?: number };
    const pause = kind === 'switch' ? ms : kind === 'clone' ? heldMs : undefined;
    if (pause === undefined) return {};
    this.#pauseMs = (this.#pauseMs ?? 0) + pause;
    return { 'cutover.pause_ms': pause };
  }

  #held(until: number): void {
    this.#pauseMs = until - this.#fencedAt!;
    this.#fencedAt = undefined;
  }
}

interface Flushing {
  getDelegate?: () => Flushing;
  forceFlush?: () => Promise<void>;
}

/** Processors send in the background, and a process that is done does not wait for them by itself. */
async function flush({ trace }: Api): Promise<void> {
  const provider = trace.getTracerProvider() as Flushing;
  const flushing = (provider.getDelegate?.() ?? provider).forceFlush;
  if (!flushing) return;
  const over = new AbortController();
  try {
    await Promise.race([
      flushing.call(provider.getDelegate?.() ?? provider),
      sleep(FLUSH_MS, undefined, { signal: over.signal }).then(() => {
        throw new Error('the exporter does not answer');
      }),
    ]);
  } finally {
    over.abort();
  }
}
