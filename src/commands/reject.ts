import type { ExitCode } from '../core/errors.ts';
import { answerGate, type GateOptions } from './shared/answer-gate.ts';
import type { CommandIo } from './shared/io.ts';

export const run = (
  [named]: readonly (string | undefined)[],
  options: GateOptions,
  io: CommandIo,
): Promise<ExitCode> => answerGate('stop', named, options, io);
