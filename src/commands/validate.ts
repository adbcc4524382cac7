import { EXIT, type ExitCode } from '../core/errors.ts';
import { loadPlaybook } from '../playbook/load.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { surroundingsOf } from './shared/surroundings.ts';

export async function run(
  [file]: readonly (string | undefined)[],
  options: Options,
  io: CommandIo,
): Promise<ExitCode> {
  const { env } = await surroundingsOf(options);
  const playbook = await loadPlaybook(file!, env);
  io.err(`${file}: playbook ${playbook.name} is valid`);
  return EXIT.done;
}
