import type { Resolve } from './driver.ts';

/** States of a run that somebody who is not there wants to hear of. */
export const NOTICE_STATES = [
  'started',
  'gate',
  'held',
  'switched',
  'failed',
  'swapped-back',
  'missed',
] as const;
export type NoticeState = (typeof NOTICE_STATES)[number];

/** One message about a state that matters. It holds no secret. */
export interface Notice {
  readonly event: NoticeState;
  /** The playbook's name. */
  readonly playbook: string;
  /** Undefined when there is no run: it was refused before it began, or its window was missed. */
  readonly run: string | undefined;
  /** The run's phase as `cutover runs` says it, `refused` before a run began, or `missed`. */
  readonly outcome: string;
  /** Undefined as long as nothing has ended. */
  readonly exit: number | undefined;
  /** What happened, in a sentence or two. */
  readonly message: string;
  /** What to type next. */
  readonly next: string;
  /** ISO 8601. */
  readonly at: string;
}

/** One place that notices are sent to. */
export interface Notifier {
  /** Names it in the line that says what could not be delivered; holds no secret. */
  readonly place: string;
  /** The states that it is told of. */
  readonly on: readonly NoticeState[];
  /** Milliseconds for one attempt. */
  readonly timeout: number;
  /** Makes one attempt. Throws UndeliverableError when another one would fail just so. */
  send(notice: Notice, signal: AbortSignal): Promise<void>;
}

export interface NotifierContext {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly resolve: Resolve;
}

/** A notice that its place does not take, however often it is sent. */
export class UndeliverableError extends Error {
  override readonly name = 'UndeliverableError';
}
