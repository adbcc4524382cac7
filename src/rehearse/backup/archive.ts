import { open, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { codeOf, isServerError, messageOf, RefusedError, StepError } from '../../core/errors.ts';
import { findTool, versionOfTool } from '../../databases/postgres/copy/tools.ts';
import { refusing } from '../../run/refusing.ts';
import { run } from '../../util/exec.ts';
import { expectWholeTar, TAR_BLOCK } from './tar.ts';

/** What a backup says of itself. */
export interface Backup {
  readonly path: string;
  /** In what form pg_dump has written it. */
  readonly form: 'custom' | 'directory' | 'tar' | 'text' | 'packed text';
  readonly database: string | undefined;
  /** Of the server that it was made of: `15.18`. */
  readonly version: string;
  /** When it was made, in words. */
  readonly made: string;
}

const HEAD_BYTES = 64 * 1024;
const ARCHIVE = 'PGDMP';
const GZIP = 0x1f8b;
/** A table of contents of a hundred thousand objects; only the lines before the first of them are looked at. */
const LIST_MS = 10 * 60_000;

/** Looks at a backup; no server is asked. Throws RefusedError when it cannot be looked at here, StepError when it is none. */
export async function lookAt(path: string, tools: string | undefined): Promise<Backup> {
  const folder = await stat(path).then(
    (info) => info.isDirectory(),
    (cause: unknown) => {
      throw new RefusedError(`the backup cannot be read: ${messageOf(cause)}`, { where: path, cause });
    },
  );
  const head = await headOf(folder ? join(path, 'toc.dat') : path, path);
  const start = folder || isArchive(head) ? 0 : isTar(head) ? TAR_BLOCK : undefined;
  if (start !== undefined) {
    const form = folder ? 'directory' : start === 0 ? 'custom' : 'tar';
    if (!isArchive(head, start))
      throw new StepError(`${basename(path)} is no archive of pg_dump`, { where: path });
    if (form === 'tar') await expectWholeTar(path);
    await refuseOldTool(head, start, tools);
    return { path, form, ...(await contentsOf(path, tools)) };
  }
  const packed = head.length > 1 && head.readUInt16BE() === GZIP;
  const text = packed ? await beginningOf(unpacked(path)) : head.toString('utf8');
  if (text.startsWith(ARCHIVE))
    throw new RefusedError(`${basename(path)} is an archive of pg_dump that was packed once more`, {
      where: path,
      hint: `unpack it first: gunzip --keep ${path}`,
    });
  return { path, form: packed ? 'packed text' : 'text', ...(await textFacts(path, text)) };
}

/** The text of a backup that is no archive. */
export const textOf = ({ path, form }: Backup): Readable =>
  form === 'packed text' ? unpacked(path) : createReadStream(path);

function unpacked(path: string): Readable {
  const file = createReadStream(path);
  const content = createGunzip();
  file.on('error', (error) => content.destroy(error));
  return file.pipe(content);
}

const isArchive = (head: Buffer, start = 0): boolean =>
  head.toString('latin1', start, start + ARCHIVE.length) === ARCHIVE;

const isTar = (head: Buffer): boolean => head.toString('latin1', 0, 8) === 'toc.dat\0';

async function headOf(file: string, path: string): Promise<Buffer> {
  try {
    const handle = await open(file);
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new RefusedError(`the backup cannot be read: ${messageOf(cause)}`, { where: path, cause });
  }
}

async function beginningOf(content: Readable): Promise<string> {
  let text = '';
  for await (const chunk of content.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk;
    if (text.length >= HEAD_BYTES) break;
  }
  return text;
}

/** Format 1.15 came with PostgreSQL 16, and 1.16 with 17; of later ones it is only known that they are later. */
const majorOf = (minor: number): number => (minor <= 14 ? 0 : minor <= 16 ? minor + 1 : 19);

async function refuseOldTool(head: Buffer, start: number, tools: string | undefined): Promise<void> {
  const [first, minor] = [head[start + ARCHIVE.length] ?? 0, head[start + ARCHIVE.length + 1] ?? 0];
  const needed = majorOf(minor);
  const major = await refusing(() => versionOfTool('pg_restore', tools));
  if (major >= needed) return;
  throw new RefusedError(
    `${await findTool('pg_restore', tools)} is of version ${major}, too old for an archive of format ${first}.${minor}`,
    { hint: `give the programs of PostgreSQL ${needed} or newer: --tools DIR` },
  );
}

type Contents = Pick<Backup, 'database' | 'version' | 'made'>;

/** The head of pg_restore's list. */
async function contentsOf(path: string, tools: string | undefined): Promise<Contents> {
  const file = await findTool('pg_restore', tools);
  const lines: string[] = [];
  const { code, output } = await run(
    { file, args: ['--list', path] },
    {
      cwd: process.cwd(),
      env: { ...process.env, LC_ALL: 'C' },
      timeout: LIST_MS,
      onLine: (line) => void (line.startsWith(';') && lines.length < 20 && lines.push(line)),
    },
  );
  if (code !== 0)
    throw new StepError("the archive's list of contents cannot be read", {
      where: path,
      detail: output.trimEnd().split('\n').slice(-5).join('\n'),
    });
  const said = (pattern: RegExp): string | undefined =>
    lines.map((line) => pattern.exec(line)?.[1]).find((found) => found !== undefined);
  // The archive holds no time zone: what pg_restore prints behind it is the zone in which it is being read.
  const made = said(/^; Archive created at (\d+-\d\d-\d\d \d\d:\d\d:\d\d)/);
  return {
    database: said(/^; +dbname: (.+)$/),
    version: versionIn(path, said(/^; +Dumped from database version: (\S+)/)),
    made:
      made === undefined ? 'at a time that it does not tell' : `${made} by the clock of where it was made`,
  };
}

function versionIn(path: string, found: string | undefined): string {
  if (found !== undefined && Number.parseInt(found, 10) > 0) return found;
  throw new StepError(`${basename(path)} does not say of which version of PostgreSQL it was made`, {
    where: path,
  });
}

const HEADER = /^\s*--\r?\n-- PostgreSQL database (cluster )?dump\r?\n--/;

async function textFacts(path: string, text: string): Promise<Contents> {
  const [header, cluster] = HEADER.exec(text) ?? [];
  if (header === undefined)
    throw new StepError(`${basename(path)} is no backup that pg_dump has made`, {
      where: path,
      hint: 'there are archives (custom, directory, tar) and SQL, packed with gzip or not',
    });
  if (cluster !== undefined)
    throw new RefusedError('this is a dump of a whole server, and not of one database', {
      where: path,
      hint: 'make it with pg_dump instead of pg_dumpall',
    });
  // Only with --verbose.
  const started = /^-- Started on (.+)$/m.exec(text)?.[1];
  const { mtime } = await stat(path);
  return {
    database: undefined,
    version: versionIn(path, /^-- Dumped from database version (\S+)/m.exec(text)?.[1]),
    made:
      started ??
      `at a time that it does not tell (its file was last written ${mtime.toISOString().slice(0, 19)}Z)`,
  };
}

/** Of the server's errors: no room, told to end, a broken disk. They are not the backup's. */
const ELSEWHERE = /^5[378]/;

/** Whether it is the backup that is to blame, and not what is missing here, or was lost on the way. */
export function isDamage(error: unknown): boolean {
  if (isServerError(error)) return !ELSEWHERE.test(error.code);
  const code = codeOf(error);
  // zlib's own.
  return code === undefined ? error instanceof StepError : code.startsWith('Z_');
}
