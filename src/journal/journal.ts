import type { Event, EventBody } from '../core/event.ts';

/** The facts of one run, in order. A store of journals keeps one a run. */
export interface Journal {
  readonly run: string;
  /** Numbers, stamps and stores an event; durable when the promise settles. Throws JournalError otherwise. */
  append(body: EventBody): Promise<Event>;
  read(): Promise<Event[]>;
  close(): Promise<void>;
}

export interface JournalStore {
  /** Where the journals are, for people. */
  readonly place: string;
  /** Makes the journal of a new run; throws when there is one. */
  create(run: string): Promise<Journal>;
  /** Opens a run's journal for reading and appending; throws UsageError when there is none. */
  open(run: string): Promise<Journal>;
  /** Events of a run, without opening it for appending. */
  read(run: string): Promise<Event[]>;
  /** Ids of all runs, oldest first. */
  list(): Promise<string[]>;
}
