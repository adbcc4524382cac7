import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { RefusedError, StepError } from '../../core/errors.ts';
import {
  findTool,
  toolEnvironment,
  versionOfTool,
  withoutPassword,
} from '../../databases/postgres/copy/tools.ts';
import { dumpStatements, isLeftOut } from '../../databases/postgres/fixture/dump.ts';
import { OWN_SCHEMA } from '../../databases/postgres/live/objects/names.ts';
import { read } from '../../util/exec.ts';
import { redact } from '../../util/redact.ts';
import { quoteIdentifier, quoteLiteral } from '../../util/sql.ts';
import type { Source } from './source.ts';

/** The schema as SQL: what rows need, what must come after them, and the contents of materialized views. */
export interface Schema {
  readonly before: readonly string[];
  readonly after: readonly string[];
  /** Each after those that it reads. */
  readonly refresh: readonly string[];
}

/** Throws RefusedError when pg_dump is older than the source's server. */
export async function refuseOldTools({ major, version }: Source, tools: string | undefined): Promise<void> {
  const found = await versionOfTool('pg_dump', tools);
  if (found >= major) return;
  throw new RefusedError(`pg_dump is of version ${found}, older than the server (${version})`, {
    hint: "install PostgreSQL's client programs of that version, or say where they are: --tools DIR",
  });
}

/** Asks pg_dump for it. */
export async function readSchema(
  source: Source,
  database: string,
  tools: string | undefined,
  signal: AbortSignal,
): Promise<Schema> {
  const section = async (name: string): Promise<string[]> => {
    const script = await dumpSection(source, database, name, tools, signal);
    const statements: string[] = [];
    for await (const statement of dumpStatements(Readable.from([script]), noRows))
      if (!isLeftOut(statement) && !holdsSecrets(statement.text)) statements.push(statement.text);
    return statements;
  };
  const before = await section('pre-data');
  const rest = await section('post-data');
  return {
    before: [...source.model.roles.map(makeRole), ...before],
    after: rest.filter((statement) => !isRefresh(statement)),
    refresh: rest.filter(isRefresh),
  };
}

const isRefresh = (statement: string): boolean => /^refresh\s+materialized\b/i.test(statement);

const noRows = (): Promise<void> => Promise.reject(new StepError('pg_dump has written rows unasked'));

/** Who connects where to, with which password; foreign tables are empty in a fixture anyhow. */
const holdsSecrets = (statement: string): boolean => /^create\s+user\s+mapping\b/i.test(statement);

/** A policy is only for roles that are there. */
const makeRole = (name: string): string =>
  `DO $cutover$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${quoteLiteral(name)}) THEN
    CREATE ROLE ${quoteIdentifier(name)} NOLOGIN;
  END IF;
END $cutover$`;

async function dumpSection(
  { address }: Source,
  database: string,
  section: string,
  tools: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const file = await findTool('pg_dump', tools);
  const args = [
    `--section=${section}`,
    '--no-owner',
    '--no-privileges',
    '--no-publications',
    '--no-subscriptions',
    '--no-security-labels',
    '--no-tablespaces',
    '--no-blobs',
    '--encoding=UTF8',
    '--lock-wait-timeout=10s',
    `--exclude-schema=${OWN_SCHEMA}`,
    `--dbname=${withoutPassword(address, database)}`,
  ];
  let script = '';
  const { code, errors } = await read(
    { file, args },
    { env: toolEnvironment(address), signal },
    async (out) => {
      script = await text(out);
    },
  );
  signal.throwIfAborted();
  if (code === 0) return script;
  throw new StepError('pg_dump failed', {
    detail: redact(errors.trimEnd().split('\n').slice(-15).join('\n')),
    hint: 'see what it says; the schema is read by the same user',
  });
}

/** As pg_dump begins, so that statements are sent one by one. */
const HEAD = '--\n-- PostgreSQL database dump\n--\n';

/** What a file of these statements holds. */
export const scriptOf = (statements: readonly string[]): string =>
  `${HEAD}\n${statements.map((statement) => `${statement};\n`).join('\n')}`;
