import { hostname, userInfo } from 'node:os';
import { Command, CommanderError } from 'commander';
import { CutoverError, EXIT, type ExitCode } from '../core/errors.ts';
import { errorText } from '../report/error.ts';
import { createStyle } from '../util/style.ts';
import { version } from '../util/version.ts';
import type { CommandIo, GlobalOptions } from './io.ts';
import { commands, type CommandSpec } from './registry.ts';

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
    .option('--state <folder>', 'where the journal of runs is kept', '.cutover')
    .option('--env-file <file...>', 'files with NAME=value lines for the ${NAME} references of the playbook')
    .option('--no-color', 'print without colours, as NO_COLOR does')
    .exitOverride()
    .showHelpAfterError('(cutover --help lists the commands)')
    .showSuggestionAfterError();
  for (const spec of commands) {
    const command = program.command(spec.name).description(spec.summary);
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

function processIo(options: GlobalOptions): CommandIo {
  const { env, stdin, stdout, stderr } = process;
  const colours = (stream: NodeJS.WriteStream): boolean =>
    options.color !== false && !env['NO_COLOR'] && (stream.isTTY || Boolean(env['FORCE_COLOR']));
  const ci = Boolean(env['CI']) && env['CI'] !== 'false';
  return {
    out: (text) => void stdout.write(`${text}\n`),
    err: (text) => void stderr.write(`${text}\n`),
    outStyle: createStyle(colours(stdout)),
    errStyle: createStyle(colours(stderr)),
    interactive: stdin.isTTY && stderr.isTTY && !ci,
    // A terminal without a width would wrap after every character.
    live: stderr.isTTY && stderr.columns > 20 && !ci && env['TERM'] !== 'dumb',
    operator: `${userName()}@${hostname()}`,
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'somebody');
  }
}

/** `cutover runs | head -1` closes the pipe early; that is no error. */
function quietPipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
