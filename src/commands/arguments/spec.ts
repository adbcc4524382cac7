import type { ExitCode } from '../../core/errors.ts';
import type { CommandIo } from '../shared/io.ts';

interface OptionSpec {
  readonly flags: string;
  readonly description: string;
}

/** What the command line needs to know of a command before it is loaded. */
export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  readonly arguments?: readonly { readonly name: string; readonly description: string }[];
  readonly options?: readonly OptionSpec[];
  /** Loads the command when it is called, so that `--help` is quick. */
  load(): Promise<CommandModule>;
}

export interface CommandModule {
  run(args: readonly (string | undefined)[], options: never, io: CommandIo): Promise<ExitCode>;
}
