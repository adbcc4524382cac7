import type { Approval } from '../core/approval.ts';
import { CutoverError, EXIT } from '../core/errors.ts';
import type { Event, EventBody } from '../core/event.ts';

/** The journal cannot be written or read. A run without a journal must not go on. */
export class JournalError extends CutoverError {
  override readonly exit = EXIT.internal;
}

/** The facts of one run, in order. A store of journals keeps one a run. */
export interface Journal {
  readonly run: string;
  /** Numbers, stamps and stores an event; durable when the promise settles. Throws JournalError otherwise. */
  append(body: EventBody): Promise<Event>;
  read(): Promise<Event[]>;
  /** Gives the journal back: another process may write it from now on. */
  close(): Promise<void>;
}

/** What somebody at another terminal wants of the process that works on a run. */
export type RequestBody =
  | { readonly kind: 'answer'; readonly step: string; readonly answer: 'go' | 'stop' }
  | { readonly kind: 'abort' };

export type Request = RequestBody & {
  readonly id: string;
  /** ISO 8601. */
  readonly at: string;
  /** User and host of whoever asks. */
  readonly by: string;
  /**
   * `seq` of the event that it is about: the opening of the gate, or the last event that was there. What is older than
   * the process that reads it was meant for another one.
   */
  readonly seq: number;
};

export interface JournalStore {
  /** Where the journals are, for people. */
  readonly place: string;
  /** Makes the journal of a new run and holds it; throws when there is one. */
  create(run: string): Promise<Journal>;
  /**
   * Opens a run's journal for appending and holds it. Throws UsageError when there is none, and RefusedError that
   * names the holder when another living process holds it.
   */
  open(run: string): Promise<Journal>;
  /** Events of a run, without opening it for appending. */
  read(run: string): Promise<Event[]>;
  /** Ids of all runs, oldest first. */
  list(): Promise<string[]>;
  /** Who holds the journal for appending, for people; undefined when nobody does. */
  writer(run: string): Promise<string | undefined>;
  /** Leaves a request for the process that holds the journal; durable when the promise settles. */
  post(run: string, request: RequestBody & Pick<Request, 'by' | 'seq'>): Promise<Request>;
  /** Requests that were not taken back, oldest first. */
  requests(run: string): Promise<Request[]>;
  /** Takes a request back; repeatable. */
  withdraw(run: string, id: string): Promise<void>;
  /**
   * Removes a run whole, for good. Throws RefusedError that names the holder while a living process holds its journal, and
   * UsageError when there is no such run.
   */
  remove(run: string): Promise<void>;
  /** Keeps an approval in the place of the one before it of the same playbook; durable when the promise settles. */
  approve(approval: Approval): Promise<void>;
  /** The latest approval of a playbook, by its name. Throws RefusedError when it cannot be read. */
  approval(name: string): Promise<Approval | undefined>;
  /** Names of the playbooks that have an approval, in order. */
  approvals(): Promise<string[]>;
  /** Takes the approval of a playbook back; says whether there was one. */
  disapprove(name: string): Promise<boolean>;
  /** The database that the journals are in, and its server's `system_identifier`; undefined when they are in files. */
  home(): Promise<{ readonly server: string; readonly database: string } | undefined>;
  /** Closes what the store itself holds open. */
  end(): Promise<void>;
}
