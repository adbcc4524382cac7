import { Client } from 'pg';
import type { Finding } from '../../core/drivers/check.ts';
import { FROM_SCHEMA, type Fixture } from '../../databases/postgres/fixture/describe.ts';
import { endClient } from '../../util/pg-client.ts';
import { Application } from './derived/application.ts';
import { KINDS } from './derived/derive.ts';
import type { Ledger, Transaction } from './ledger.ts';
import { inProportion } from './proportion.ts';

/** What clients do. */
export interface Work {
  readonly transactions: readonly Transaction[];
  /** The same while they only read. */
  readonly reads: readonly Transaction[];
  /** What of the application is left out, a line each. */
  readonly without: readonly string[];
  /** What was done of what was derived. */
  done(): Finding[];
  anew(): Finding[];
}

/** The ledger, and beside it the statements of a fixture, or those that are derived from blue's schema; `url` is a client's. */
export async function workOf(
  fixture: Pick<Fixture, 'writes' | 'mix' | 'seed'>,
  ledger: Ledger,
  url: string,
): Promise<Work> {
  const { writes, mix, seed } = fixture;
  if (writes !== FROM_SCHEMA)
    return {
      transactions: [
        ...ledger.writes,
        ledger.read,
        ...inProportion(writes).map(({ sql }) => transactionOf(sql)),
      ],
      reads: [ledger.read],
      without: [],
      done: () => [],
      anew: () => [],
    };
  const application = await applicationOf(url, seed);
  const kinds = KINDS.flatMap((kind) => {
    const make = application.transaction(kind);
    return make ? [{ make, weight: mix[kind] }] : [];
  });
  const own = [...ledger.writes, ledger.read].map((make) => ({
    make,
    weight: make === ledger.transfer ? mix.transfers : 1,
  }));
  const read = application.transaction('reads');
  return {
    transactions: inProportion([...own, ...kinds]).map(({ make }) => make),
    reads: [ledger.read, ...(read && mix.reads > 0 ? [read] : [])],
    without: application.without,
    done: () => [application.done()],
    anew: () => application.anew(),
  };
}

/** As a client, which has a client's rights. */
async function applicationOf(url: string, seed: number): Promise<Application> {
  const connection = new Client({ connectionString: url });
  connection.on('error', () => undefined);
  try {
    await connection.connect();
    return await Application.derive(connection, seed);
  } finally {
    await endClient(connection);
  }
}

const transactionOf =
  (sql: string): Transaction =>
  async (connection) => {
    await connection.query(sql);
  };
