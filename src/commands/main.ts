import { hostname, userInfo } from 'node:os';
import { Command, CommanderError } from 'commander';
import { CutoverError, EXIT, type ExitCode } from '../core/errors.ts';
import { errorText } from '../report/error.ts';
import { redact } from '../util/redact.ts';
import { createStyle } from '../util/style.ts';
import { version } from '../util/version.ts';
import type { CommandIo, GlobalOptions } from './shared/io.ts';
import { commands } from './registry.ts';
import type { CommandSpec } from './arguments/spec.ts';
import { repeatFlags } from './arguments/repeat-flags.ts';

/** From the words of the command line to the exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<ExitCode> {
  quietPipe(process.stdout);
  quietPipe(process.stderr);
  let code: ExitCode = EXIT.done;
  const program = createProgram((spec) => async (...words) => {
    code = await call(spec, words);
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
}

function createProgram(action: (spec: CommandSpec) => (...words: unknown[]) => Promise<void>): Command {
  const program = new Command('cutover')
    .description('Blue-green database cutover: clone, migrate, verify, switch, and swap back')
    .version(version())
    .option(
      '--state <place>',
      'where the journal of runs is kept: a folder, or a database as postgresql://user@host/name',
      '.cutover',
    )
    .option(
      '--env-file <file>',
      'a file with NAME=value lines for the ${NAME} references of the playbook; may be given several times',
      // One file each: a list without an end would take the playbook for a file of its own.
      (file: string, others: readonly string[] | undefined) => [...(others ?? []), file],
    )
    .option('--tools <dir>', 'the folder of pg_dump and pg_restore, when they are not on PATH')
    .option('--no-color', 'print without colours, as NO_COLOR does')
    .exitOverride()
    // What was typed is repeated in an error, and somebody may have typed a connection string.
    .configureOutput({ writeErr: (text) => void process.stderr.write(redact(text)) })
    .showHelpAfterError('(cutover --help lists the commands)')
    .showSuggestionAfterError();
  for (const spec of commands) {
    const command = program
      .command(spec.name)
      .description(spec.summary)
      .configureHelp({ showGlobalOptions: true });
    for (const { name, description } of spec.arguments ?? []) command.argument(name, description);
    for (const { flags, description } of spec.options ?? []) command.option(flags, description);
    command.action(action(spec));
  }
  return program;
}

async function call(spec: CommandSpec, words: readonly unknown[]): Promise<ExitCode> {
  const command = words.at(-1) as Command;
  const options = command.optsWithGlobals<GlobalOptions>();
  const io = processIo(options);
  try {
    const module = await spec.load();
    return await module.run(words.slice(0, -2) as (string | undefined)[], options as never, io);
  } catch (error) {
    io.err(errorText(error, io.errStyle));
    return error instanceof CutoverError ? error.exit : EXIT.internal;
  }
}

function processIo(options: GlobalOptions & { json?: true }): CommandIo {
  const repeat = repeatFlags(options);
  const { env, stdin, stdout, stderr } = process;
  const plain = options.color === false || Boolean(env['NO_COLOR']);
  if (plain) plainEverywhere(env);
  const colours = (stream: NodeJS.WriteStream): boolean =>
    !plain && (stream.isTTY || isOn(env['FORCE_COLOR']));
  const ci = isOn(env['CI']);
  return {
    // JSON is data, and stays as it is.
    out: (text) => void stdout.write(`${options.json ? text : repeat(text)}\n`),
    err: (text) => void stderr.write(`${repeat(text)}\n`),
    outStyle: createStyle(colours(stdout)),
    errStyle: createStyle(colours(stderr)),
    interactive: stdin.isTTY && stderr.isTTY && !ci,
    // A terminal without a width would wrap after every character.
    live: stderr.isTTY && stderr.columns > 20 && !ci && env['TERM'] !== 'dumb',
    operator: `${userName()}@${hostname()}`,
  };
}

const isOn = (value: string | undefined): boolean => Boolean(value) && value !== '0' && value !== 'false';

/** The libraries that draw lists and questions look at the environment when they are loaded, which is later. */
function plainEverywhere(env: NodeJS.ProcessEnv): void {
  env['NO_COLOR'] = '1';
  delete env['FORCE_COLOR'];
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'somebody');
  }
}

/** `cutover runs | head -1` closes the pipe early, and a terminal may go away: a run goes on without them. */
function quietPipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}
