import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, isServerError, messageOf, RefusedError, serverMessage } from '../../core/errors.ts';
import type { Event, EventBody } from '../../core/event.ts';
import type { Connection } from '../../databases/postgres/connection.ts';
import { JournalError, type Journal } from '../journal.ts';
import { withoutSecrets } from '../redact-event.ts';
import { inTurn } from '../../util/turns/in-turn.ts';
import { takeWriterLock } from './writer-lock.ts';

const INSERT = 'insert into cutover.events (run, seq, body) values ($1, $2, $3)';

/** One run's journal in PostgreSQL, held by the session that appends to it. */
export class PostgresJournal implements Journal {
  readonly run: string;
  readonly #connect: () => Promise<Connection>;
  #connection: Connection;
  #seq: number;
  readonly #inTurn = inTurn();

  private constructor(run: string, connection: Connection, connect: () => Promise<Connection>, seq: number) {
    this.run = run;
    this.#connection = connection;
    this.#connect = connect;
    this.#seq = seq;
  }

  /** Takes the journal's lock on a session of its own, which `connect` opens whenever it is needed. */
  static async open(run: string, connect: () => Promise<Connection>): Promise<PostgresJournal> {
    const connection = await connect();
    try {
      await hold(connection, run);
      const [row] = await connection.query<{ seq: number }>(
        'select coalesce(max(seq), 0) as seq from cutover.events where run = $1',
        [run],
      );
      return new PostgresJournal(run, connection, connect, row!.seq);
    } catch (error) {
      await connection.end();
      throw error;
    }
  }

  append(body: EventBody): Promise<Event> {
    return this.#inTurn(() => this.#write(body));
  }

  async #write(body: EventBody): Promise<Event> {
    const event = { seq: this.#seq + 1, at: new Date().toISOString(), ...withoutSecrets(body) } as Event;
    const text = JSON.stringify(event);
    try {
      await this.#insert(event.seq, text);
    } catch (cause) {
      if (cause instanceof JournalError) throw cause;
      throw new JournalError(
        `the journal cannot be written: ${isServerError(cause) ? serverMessage(cause) : messageOf(cause)}`,
        { cause, hint: 'see to the server of --state' },
      );
    }
    this.#seq = event.seq;
    return event;
  }

  async #insert(seq: number, text: string): Promise<void> {
    if (!this.#connection.lost) {
      try {
        await this.#connection.query(INSERT, [this.run, seq, text]);
        return;
      } catch (error) {
        if (isServerError(error) && !this.#connection.lost && !codeOf(error)?.startsWith('57P')) {
          throw codeOf(error) === '23505' ? otherWriter(this.run) : error;
        }
        // The answer was lost, and with it whether the event is there.
      }
    }
    await this.#reconnect();
    // Nothing of the session before can come through any more: what is there now is the answer.
    const [row] = await this.#connection.query<{ body: string }>(
      'select body from cutover.events where run = $1 and seq = $2',
      [this.run, seq],
    );
    if (row && row.body !== text) throw otherWriter(this.run);
    if (!row) await this.#connection.query(INSERT, [this.run, seq, text]);
  }

  /** Ends the session that was lost, should the server still have it, and takes the lock anew. */
  async #reconnect(): Promise<void> {
    const before = this.#connection.pid;
    await this.#connection.end();
    const connection = await this.#connect();
    this.#connection = connection;
    for (let ended = false; !ended; await sleep(20)) {
      const rows = await connection.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and application_name = $2`,
        [before, nameOfSession(this.run)],
      );
      ended = rows.length === 0;
    }
    try {
      await hold(connection, this.run);
    } catch (cause) {
      if (cause instanceof RefusedError) throw otherWriter(this.run, cause);
      throw cause;
    }
  }

  read(): Promise<Event[]> {
    return this.#inTurn(async () => {
      if (this.#connection.lost) await this.#reconnect();
      return readEvents(this.#connection, this.run);
    });
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#connection.end());
  }
}

/** `application_name` of the session that holds a journal. */
const nameOfSession = (run: string): string => `cutover journal ${run}`;

async function hold(connection: Connection, run: string): Promise<void> {
  // An event counts once it is on disk, whatever the server is set to otherwise.
  await connection.query('set synchronous_commit = on');
  await connection.query(`select set_config('application_name', $1, false)`, [nameOfSession(run)]);
  await takeWriterLock(connection, run);
}

const otherWriter = (run: string, cause?: unknown): JournalError =>
  new JournalError('somebody else wrote to the journal of this run', {
    cause,
    hint: `see what is at work there: cutover status ${run}`,
  });

/** Every event of a run. Throws JournalError when one is missing. */
export async function readEvents(connection: Connection, run: string): Promise<Event[]> {
  const rows = await connection.query<{ seq: number; body: string }>(
    'select seq, body from cutover.events where run = $1 order by seq',
    [run],
  );
  return rows.map(({ seq, body }, index) => {
    if (seq === index + 1) return JSON.parse(body) as Event;
    throw new JournalError(`the journal of run ${run} is damaged: event ${index + 1} is missing`, {
      hint: 'restore the schema cutover from a backup; nothing was changed',
    });
  });
}
