import { resolve } from 'node:path';
import { EXIT, UsageError, type ExitCode } from '../core/errors.ts';
import { embeddedMajor } from '../databases/postgres/embedded/binaries.ts';
import { sample, type Sampled } from '../rehearse/sample/sample.ts';
import { redactDeep } from '../util/redact.ts';
import { formatDuration, formatCount, plural } from '../util/units.ts';
import { databaseOf } from '../util/url.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { givenUrl } from './arguments/given-url.ts';
import { listOf } from './arguments/lists.ts';
import { withSignals } from './running/signals.ts';
import { surroundingsOf } from './shared/surroundings.ts';

type FixtureOptions = Options<{
  out?: string;
  sample?: string;
  seed?: string;
  mask?: string;
  keep?: string;
  server?: string;
  json?: true;
}>;

const IS_URL = /^postgres(?:ql)?(?:\+\w+)?:\/\//i;
/** The secret that masks depend on. */
const KEY_VARIABLE = 'CUTOVER_MASK_KEY';
/** Shorter ones can be tried out. */
const KEY_CHARACTERS = 16;

/** Makes a fixture of a real database, which is only read. */
export async function run(
  [action, given]: readonly (string | undefined)[],
  options: FixtureOptions,
  io: CommandIo,
): Promise<ExitCode> {
  if (action !== 'from')
    throw new UsageError(`there is no cutover fixture ${action}`, {
      hint: "write cutover fixture from '${URL}'",
    });
  const { out } = options;
  if (out === undefined)
    throw new UsageError('the folder for the fixture is missing', { hint: 'say where it goes: --out DIR' });
  const around = await surroundingsOf(options);
  const url = givenUrl(given!, around.resolve);
  const started = performance.now();
  const sampled = await withSignals(
    io.err,
    (signal) =>
      sample({
        url,
        database: databaseIn(url),
        out: resolve(out),
        share: shareOf(options.sample ?? '1%'),
        seed: seedOf(options.seed ?? '1'),
        key: keyOf(around.variables[KEY_VARIABLE]),
        wishes: { mask: listOf(options.mask ?? ''), keep: listOf(options.keep ?? '') },
        tools: around.tools,
        server: options.server === undefined ? undefined : serverIn(options.server, around.resolve),
        signal,
        progress: (line) => io.err(line),
      }),
    { means: 'what was begun is removed; the database was only read' },
  );
  io.err(`Made in ${formatDuration(performance.now() - started)}.\n`);
  if (options.json)
    io.out(JSON.stringify(redactDeep({ ...sampled, next: nextOf(sampled, out, options.server) }), null, 2));
  else io.out(textOf(sampled, nextOf(sampled, out, options.server)));
  return EXIT.done;
}

function databaseIn(url: string): string {
  const database = IS_URL.test(url) ? databaseOf(url) : undefined;
  if (database !== undefined) return database;
  throw new UsageError('the connection string names no database', {
    hint: 'postgresql://user@host/database',
  });
}

function shareOf(given: string): number {
  const percent = /^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(given)?.[1];
  const share = Number(percent) / 100;
  if (share > 0 && share <= 1) return share;
  throw new UsageError(`--sample ${given} is no share from 0.0001% to 100%`, { hint: 'write --sample 1%' });
}

function seedOf(given: string): number {
  const seed = Number(given);
  if (/^\d+$/.test(given) && seed < 2 ** 31) return seed;
  throw new UsageError(`--seed ${given} is no whole number from 0 to ${formatCount(2 ** 31 - 1)}`);
}

function keyOf(given: string | undefined): string | undefined {
  if (given === undefined || given.length >= KEY_CHARACTERS) return given;
  throw new UsageError(`${KEY_VARIABLE} has less than ${KEY_CHARACTERS} characters, and could be guessed`, {
    hint: 'take a long one at random: openssl rand -hex 32',
  });
}

function serverIn(given: string, resolveText: (text: string) => string): string {
  const url = givenUrl(given, resolveText);
  if (IS_URL.test(url)) return url;
  throw new UsageError('--server is no connection string of PostgreSQL', {
    hint: `give the superuser of a server for tests: --server '\${TEST_URL}'`,
  });
}

/** What to type next; the stage of a rehearsal can be where the fixture was proved. */
function nextOf({ major }: Sampled, out: string, server: string | undefined): string {
  const where = server === undefined ? `--pg ${major}` : `--server '${server}'`;
  const usual = server === undefined && major === embeddedMajor();
  return `cutover rehearse playbook.yml --fixture ${out}${usual ? '' : ` ${where}`}`;
}

function textOf(sampled: Sampled, next: string): string {
  const { tables, masked, left, repeatable } = sampled;
  const width = Math.max(0, ...tables.map(({ table }) => table.length));
  const lines = tables.map(
    ({ table, taken, of, exact }) =>
      `  ${table.padEnd(width)}  ${formatCount(taken)} of ${exact ? '' : 'about '}${plural(of, 'row')}`,
  );
  return [
    `Rows of ${sampled.database}, PostgreSQL ${sampled.version}:`,
    ...lines,
    '',
    masked.length === 0
      ? 'Nothing was masked.'
      : `Masked${repeatable ? '' : ', with a key of this fixture alone'}:`,
    ...masked.map((name) => `  ${name}`),
    ...(left.length === 0 ? [] : ['', 'Left out:', ...left.map((line) => `  ${line}`)]),
    '',
    'Look through it before you give it away: what a name does not tell, no list of names can know.',
    `Next: ${next}`,
  ].join('\n');
}
