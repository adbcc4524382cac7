import { resolve } from 'node:path';
import { EXIT, UsageError, type ExitCode } from '../core/errors.ts';
import type { Side } from '../core/side.ts';
import { needsOwnServers, readFaults, type FaultWish } from '../rehearse/faults/wish.ts';
import { rehearse, type Rehearsal, type Rehearsing } from '../rehearse/rehearse.ts';
import { rehearsalPage } from '../report/html/rehearsal.ts';
import { rehearsalMarkdown } from '../report/markdown.ts';
import { isGood, rehearsalJson, rehearsalText } from '../report/rehearsal.ts';
import { writeRates } from '../run/measured.ts';
import { addSecretsOfUrl } from '../util/redact.ts';
import { formatDuration } from '../util/units.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { withSignals } from './running/signals.ts';
import { surroundingsOf } from './shared/surroundings.ts';
import { writeJunit, writeReport } from './shared/verdict.ts';

type RehearseOptions = Options<{
  fixture?: string;
  scale?: string;
  seed?: string;
  pg?: string;
  server?: string;
  image?: string;
  clients?: string;
  rate?: string;
  faults?: string | true;
  rates?: string;
  json?: true;
  junit?: string;
  html?: string;
  markdown?: string;
}>;

/** The whole playbook on a stage of its own: there, back, and there once more, with clients at work. */
export async function run(
  [file]: readonly (string | undefined)[],
  options: RehearseOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const started = performance.now();
  const rehearsal = await withSignals(
    io.err,
    (signal) =>
      rehearse({
        file: file!,
        fixture: options.fixture === undefined ? undefined : resolve(options.fixture),
        scales: scalesOf(options.scale),
        seed: wholeOf('--seed', options.seed, 0, 2 ** 31 - 1),
        server: serverOf(options, around.resolve),
        majors: majorsOf(options.pg),
        clients: {
          clients: wholeOf('--clients', options.clients, 1, 80) ?? 8,
          perSecond: numberOf('--rate', options.rate, 1, 100_000) ?? 200,
        },
        faults:
          options.faults === undefined
            ? []
            : faultsFor(
                options.faults === true ? 'kill,cut,refuse,tamper,migration' : options.faults,
                options.server,
              ),
        env: around.env,
        self: process.argv[1]!,
        tools: around.tools,
        signal,
        progress: (line) => io.err(line),
        heard: ({ words, code, from, to }) =>
          io.err(`${code === 0 ? '✔' : '✖'} cutover ${words.join(' ')}  ${formatDuration(to - from)}`),
      }),
    { unattended: true, means: 'the stage is taken down; nothing real was touched' },
  );
  const ms = performance.now() - started;
  if (options.rates !== undefined) await writeRates(options.rates, rehearsal.measured);
  if (options.junit !== undefined) await writeJunit(options.junit, rehearsal.findings, ms);
  if (options.html !== undefined) await writeReport('HTML', options.html, rehearsalPage(rehearsal));
  if (options.markdown !== undefined)
    await writeReport('Markdown', options.markdown, rehearsalMarkdown(rehearsal));
  if (options.json) io.out(rehearsalJson(rehearsal));
  else io.out(`\n${rehearsalText(rehearsal, io.outStyle)}`);
  return exitOf(rehearsal);
}

function faultsFor(given: string, server: string | undefined): FaultWish[] {
  const wishes = readFaults(given);
  const own = server === undefined ? undefined : needsOwnServers(wishes, server === DOCKER);
  if (own !== undefined)
    throw new UsageError(
      server === DOCKER
        ? `--faults names ${own}, which needs servers that run beside the tool, and not in containers`
        : `--faults names ${own}, and the server of --server is not to ${WORDS[own] ?? own}`,
      { hint: `leave --server out, or ${own}` },
    );
  return wishes;
}

const WORDS: Readonly<Record<string, string>> = {
  full: 'be without room',
  slow: 'be far away',
};

const CODES = new Set<number>(Object.values(EXIT));

/** That of the command that failed; where all came through and a promise was broken, that of a difference. */
function exitOf(rehearsal: Rehearsal): ExitCode {
  const failed = rehearsal.told.find(({ code }) => code !== 0);
  if (failed?.code !== undefined && CODES.has(failed.code)) return failed.code as ExitCode;
  return isGood(rehearsal) ? EXIT.done : EXIT.differences;
}

function numberOf(flag: string, given: string | undefined, least: number, most: number): number | undefined {
  if (given === undefined) return undefined;
  const number = Number(given);
  if (given.trim() !== '' && number >= least && number <= most) return number;
  throw new UsageError(`${flag} ${given} is no number from ${least} to ${most}`);
}

function wholeOf(flag: string, given: string | undefined, least: number, most: number): number | undefined {
  const number = numberOf(flag, given, least, most);
  if (number === undefined || Number.isInteger(number)) return number;
  throw new UsageError(`${flag} ${given} is no whole number`);
}

/** `1`, or `1,4,16`. */
const scalesOf = (given: string | undefined): number[] =>
  (given?.split(',') ?? []).map((each) => numberOf('--scale', each, 0.001, 1_000_000)!);

/** `18`, or `15,18` for blue's and green's. */
function majorsOf(given: string | undefined): { blue: number | undefined; green: number | undefined } {
  const [blue, green, ...rest] = (given ?? '').split(',').filter(Boolean);
  if (rest.length > 0) throw new UsageError(`--pg ${given} names more than blue's and green's major`);
  const first = wholeOf('--pg', blue, 14, 99);
  return { blue: first, green: wholeOf('--pg', green, 14, 99) ?? first };
}

function serverOf(
  { server, image, pg }: RehearseOptions,
  resolveText: (text: string) => string,
): Rehearsing['server'] {
  if (server === DOCKER) return { kind: 'docker', images: imagesOf(image, pg) };
  if (image !== undefined) throw new UsageError('--image is for the containers of --server docker');
  if (server === undefined) return { kind: 'embedded' };
  const url = resolveText(server);
  addSecretsOfUrl(url);
  if (!/^postgres(?:ql)?:\/\//i.test(url))
    throw new UsageError('--server is no connection string of PostgreSQL', {
      hint: `give the superuser of a server for tests: --server '\${TEST_URL}'; or docker`,
    });
  return { kind: 'given', url };
}

const DOCKER = 'docker';

/** One image, or blue's and green's. */
function imagesOf(given: string | undefined, pg: string | undefined): Record<Side, string | undefined> {
  if (given === undefined) return { blue: undefined, green: undefined };
  const names = given.split(',').map((name) => name.trim());
  if (names.length > 2 || names.includes(''))
    throw new UsageError(`--image ${given} is neither an image nor blue's and green's`);
  if (pg !== undefined) throw new UsageError('--pg and --image both say what the servers are: leave one out');
  return { blue: names[0], green: names[1] ?? names[0] };
}
