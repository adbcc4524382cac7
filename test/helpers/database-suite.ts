import { randomBytes } from 'node:crypto';
import ava, { type ExecutionContext } from 'ava';
import { Client } from 'pg';
import type { ClonePlan } from '../../src/core/database/clone.ts';
import type { LongTransactions } from '../../src/core/playbook.ts';
import type { WorkControl } from '../../src/core/work.ts';
import { Postgres } from '../../src/databases/postgres/postgres.ts';
import { quoteIdentifier } from '../../src/util/sql.ts';
import { withDatabase } from '../../src/util/url.ts';
import { DEFAULT_MAJOR, testServer, type TestServer } from './postgres.ts';

export const settings = { max_prepared_transactions: '10', wal_level: 'logical' };
export const control: WorkControl = { signal: new AbortController().signal, progress: () => undefined };
export const end: LongTransactions = { wait: 0, then: 'end' };
export const unique = (prefix: string): string => `${prefix}_${randomBytes(4).toString('hex')}`;
export const newRun = (): string => unique('20261120-234205').replace('_', '-');

export interface Subject {
  readonly name: string;
  readonly run: string;
  readonly database: Postgres;
}

interface SubjectOptions {
  readonly on?: TestServer;
  readonly name?: string;
  readonly sql?: string;
  readonly url?: string;
}

/** Tests of a file that measure what the server does with others, one after the other: the machine is small. */
export interface DatabaseSuite {
  readonly test: typeof ava.serial;
  readonly server: () => TestServer;
  readonly subject: (t: ExecutionContext, options?: SubjectOptions) => Promise<Subject>;
  readonly others: (name: string, on?: TestServer) => Promise<{ pid: number }[]>;
  readonly outside: (name: string, on?: TestServer) => Promise<Record<string, unknown>>;
}

export function databaseSuite(): DatabaseSuite {
  let server: TestServer;
  ava.before(async () => {
    server = await testServer(DEFAULT_MAJOR, settings);
  });
  ava.after.always(() => server?.stop());
  return {
    test: ava.serial,
    server: () => server,
    subject: (t, options) => subject(t, { on: server, ...options }),
    others: (name, on = server) => others(name, on),
    outside: (name, on = server) => outside(name, on),
  };
}

/** A connection to a database of any name, which a connection string can garble. */
export async function connectTo(
  on: TestServer,
  database: string,
  login: { user?: string; password?: string } = {},
): Promise<Client> {
  const url = new URL(on.url());
  const client = new Client({
    host: url.hostname,
    port: Number(url.port),
    user: login.user ?? url.username,
    password: login.password ?? url.password,
    database,
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** A database with a table and the tool looking at it as blue. */
async function subject(
  t: ExecutionContext,
  {
    on,
    name = '',
    sql = 'create table notes (id int primary key, body text)',
    url = '',
  }: SubjectOptions & { on: TestServer },
): Promise<Subject> {
  const blue = name || (await on.database());
  if (name) await on.sql(`create database ${quoteIdentifier(name)}`);
  const client = await connectTo(on, blue);
  await client.query(sql);
  await client.end();
  const run = newRun();
  const database = new Postgres({ url: withDatabase(url || on.url(), blue), run });
  await database.bindByName('blue', blue);
  t.teardown(() => database.end());
  return { name: blue, run, database };
}

/** Everybody who is connected to a database, but the tool itself. */
const others = (name: string, on: TestServer) =>
  on.sql<{ pid: number }>(
    `select pid from pg_stat_activity where datname = '${name}' and backend_type = 'client backend'
     and application_name not like 'cutover %'`,
  );

/** Everything of a database that clients can notice of its entry in the server's list. */
const outside = async (name: string, on: TestServer): Promise<Record<string, unknown>> => {
  const admin = await on.connect();
  const { rows } = await admin.query<Record<string, unknown>>(
    `select pg_get_userbyid(datdba) as owner, datconnlimit, datallowconn, pg_encoding_to_char(encoding) as encoding,
            datcollate, datctype, datlocprovider,
            array(select format('%s %s %s %s', coalesce(g.rolname, 'PUBLIC'), b.rolname, privilege_type, is_grantable)
                  from aclexplode(datacl) a left join pg_roles g on g.oid = a.grantee
                  join pg_roles b on b.oid = a.grantor order by 1) as acl,
            datacl is null as default_acl,
            array(select format('%s: %s', case setrole when 0 then 'all' else setrole::regrole::text end, setting)
                  from pg_db_role_setting, unnest(setconfig) setting where setdatabase = d.oid order by 1) as settings
     from pg_database d where datname = $1`,
    [name],
  );
  await admin.end();
  return rows[0]!;
};

export async function closeAndPlan({ database }: Subject, green: string): Promise<ClonePlan> {
  const facts = await database.inspect();
  await database.close('blue', end, control);
  return database.planClone(facts, green, { method: 'template', strategy: 'auto', pause: 5000 }).plan;
}
