import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Mistake } from './mistakes.ts';
import { split, type Script } from '../../util/sql-text/split.ts';
import { compareVersions } from './version.ts';

/** A file of SQL, read and cut into statements. */
export interface SqlFile {
  readonly path: string;
  readonly name: string;
  /** With `\n` for every line break, whatever the file has: the same checksum means the same SQL. */
  readonly text: string;
  readonly sha256: string;
  readonly script: Script;
}

/** One version: the way there, and the way back where somebody wrote one. */
export interface Migration {
  readonly version: string;
  readonly description: string;
  readonly up: SqlFile;
  readonly down: SqlFile | undefined;
}

export interface Folder {
  /** By version, ascending. */
  readonly migrations: readonly Migration[];
  readonly mistakes: readonly Mistake[];
}

const NAME = /^V(?<version>\d+(?:[._]\d+)*)__(?<description>.+?)(?<down>\.down)?\.sql$/;
const RIGHT_NAME =
  'a right name looks like V001__add_tiers.sql, with V001__add_tiers.down.sql for the way back';

interface Named {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly down: boolean;
}

/** Reads a folder of migrations. Whatever is wrong with it is in `mistakes`, all at once. */
export async function readFolder(directory: string): Promise<Folder> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => error,
  );
  if (!Array.isArray(entries)) return { migrations: [], mistakes: [unreadableFolder(directory, entries)] };
  const names = entries
    .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.') && /\.sql$/i.test(entry.name))
    .map((entry) => entry.name)
    .toSorted();
  if (names.length === 0) {
    const hint = RIGHT_NAME;
    return {
      migrations: [],
      mistakes: [{ path: directory, name: directory, message: 'no migrations there', hint }],
    };
  }
  const mistakes: Mistake[] = [];
  const mistake = (name: string, message: string, hint: string): void => {
    mistakes.push({ path: join(directory, name), name, message, hint });
  };
  const named: Named[] = [];
  for (const name of names) {
    const parsed = parseName(name);
    if (parsed) named.push(parsed);
    else mistake(name, 'the name is not that of a migration', RIGHT_NAME);
  }
  const files = new Map<string, SqlFile>();
  for (const { name } of named) {
    const file = await readSql(join(directory, name));
    if ('script' in file) files.set(name, file);
    else mistakes.push(file);
  }
  return { migrations: pair(named, files, mistake), mistakes };
}

function parseName(name: string): Named | undefined {
  const groups = NAME.exec(name)?.groups;
  if (!groups) return undefined;
  return {
    name,
    version: groups['version']!.replaceAll('_', '.'),
    description: groups['description']!.replaceAll('_', ' '),
    down: groups['down'] !== undefined,
  };
}

type Report = (name: string, message: string, hint: string) => void;

/** Puts ways there and back together, and reports what has no partner or two. */
function pair(named: readonly Named[], files: ReadonlyMap<string, SqlFile>, mistake: Report): Migration[] {
  const ups = named.filter((entry) => !entry.down).toSorted((a, b) => compareVersions(a.version, b.version));
  const downs = new Map(named.filter((entry) => entry.down).map((entry) => [entry.name, entry]));
  for (const [at, up] of ups.entries()) {
    const before = ups[at - 1];
    if (before && compareVersions(before.version, up.version) === 0) {
      mistake(up.name, `has the same version as ${before.name}`, 'give one of the two a version of its own');
    }
  }
  const migrations: Migration[] = [];
  for (const up of ups) {
    const downName = up.name.replace(/\.sql$/, '.down.sql');
    const file = files.get(up.name);
    if (file)
      migrations.push({
        version: up.version,
        description: up.description,
        up: file,
        down: files.get(downName),
      });
    downs.delete(downName);
  }
  for (const { name } of downs.values()) {
    const wanted = name.replace(/\.down\.sql$/, '.sql');
    mistake(name, `is a way back, and ${wanted} is not there`, `write ${wanted}, or take this file away`);
  }
  return migrations;
}

function unreadableFolder(directory: string, error: NodeJS.ErrnoException): Mistake {
  const message =
    error.code === 'ENOENT'
      ? 'this folder is not there'
      : `this folder cannot be read (${error.code ?? error.message})`;
  return {
    path: directory,
    name: directory,
    message,
    hint: 'correct `directory`; it is seen from the playbook',
  };
}

async function readSql(path: string): Promise<SqlFile | Mistake> {
  const name = basename(path);
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => error);
  if (!Buffer.isBuffer(bytes)) {
    return {
      path,
      name,
      message: `cannot be read (${bytes.code ?? bytes.message})`,
      hint: 'see to its permissions',
    };
  }
  let decoded: string;
  try {
    decoded = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return {
      path,
      name,
      message: 'is not UTF-8',
      hint: 'save it in UTF-8, for instance with iconv -t UTF-8',
    };
  }
  if (decoded.includes('\0')) {
    return { path, name, message: 'holds NUL characters', hint: 'save it as text in UTF-8' };
  }
  const text = decoded.replaceAll('\r\n', '\n');
  const script = split(text);
  if (script.statements.length === 0 && !script.trouble) {
    return { path, name, message: 'has no statement in it', hint: 'write one, or take the file away' };
  }
  return { path, name, text, sha256: createHash('sha256').update(text).digest('hex'), script };
}
