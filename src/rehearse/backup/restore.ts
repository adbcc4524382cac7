import { Transform, type Readable } from 'node:stream';
import { codeOf, messageOf, RefusedError, StepError } from '../../core/errors.ts';
import type { Connection } from '../../databases/postgres/connection.ts';
import { copyIn } from '../../databases/postgres/fixture/copy.ts';
import {
  dumpStatements,
  isOfSession,
  namesRoles,
  namesTablespace,
  refuseForeign,
} from '../../databases/postgres/fixture/dump.ts';
import { readArchive } from '../../databases/postgres/fixture/files.ts';
import type { Statement } from '../../util/sql-text/split.ts';
import { textOf, type Backup } from './archive.ts';

export interface Restoring {
  readonly tools: string | undefined;
  readonly signal: AbortSignal;
  /** Hears the bytes of SQL that were taken. */
  readonly progress: (bytes: number) => void;
}

/**
 * Restores a backup into an empty database, with owners and privileges. Gives statements that name a role or a tablespace
 * which is not there: they were left out. Throws StepError and the server's errors when it is damaged or not whole.
 */
export async function restore(
  connection: Connection,
  backup: Backup,
  { tools, signal, progress }: Restoring,
): Promise<string[]> {
  const left: string[] = [];
  let loading: Ending | undefined;
  const load = async (content: Readable): Promise<void> => {
    const end = (loading = new Ending(progress));
    content.on('error', (error) => end.destroy(error));
    await execute(connection, content.pipe(end), left);
    end.expect();
  };
  const stop = (): void => {
    loading?.destroy(new Error('interrupted'));
    connection.destroy('interrupted');
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    signal.throwIfAborted();
    if (backup.form === 'text' || backup.form === 'packed text') await load(textOf(backup));
    else await readArchive(backup.path, tools, load, []);
    await connection.query('RESET SESSION AUTHORIZATION; RESET ALL');
    await connection.query('ANALYZE', undefined, { long: true });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
  return left;
}

const LAST_LINE = '-- PostgreSQL database dump complete';
const KEPT = 1000;

/** Lets text through, and remembers how it ends: what is cut off between two statements looks whole otherwise. */
class Ending extends Transform {
  #last = '';
  #bytes = 0;

  constructor(progress: (bytes: number) => void) {
    super({
      transform: (chunk: Buffer, _encoding, done) => {
        this.#last = (this.#last + chunk.toString('latin1')).slice(-KEPT);
        progress((this.#bytes += chunk.length));
        done(null, chunk);
      },
    });
  }

  expect(): void {
    if (this.#last.includes(LAST_LINE)) return;
    throw new StepError('it does not end as pg_dump ends a dump: something is missing behind what is there');
  }
}

/** undefined_object, and invalid_parameter_value of SET. */
const UNKNOWN = ['42704', '22023'];

async function execute(connection: Connection, content: Readable, left: string[]): Promise<void> {
  const copy = async (sql: string, rows: AsyncIterable<string>): Promise<void> => {
    await copyIn(connection, sql, rows);
  };
  for await (const statement of dumpStatements(content, copy)) {
    refuseForeign(statement);
    if (isOfSession(statement)) continue;
    try {
      await connection.query(statement.text, undefined, { long: true });
    } catch (error) {
      if (UNKNOWN.includes(codeOf(error) ?? '') && (namesRoles(statement) || namesTablespace(statement))) {
        left.push(statement.text);
        if (namesTablespace(statement)) await connection.query('RESET default_tablespace');
      } else throw explained(statement, error);
    }
  }
}

/** Says of an extension that only the server lacks it. */
function explained({ words, text }: Statement, error: unknown): unknown {
  if (words[0]?.text !== 'create' || words[1]?.text !== 'extension') return error;
  return new RefusedError(`the server that comes with the tool cannot hold the backup: ${messageOf(error)}`, {
    cause: error,
    detail: text,
    hint: 'restore it yourself on a server that has the extension, and compare the two databases',
  });
}
