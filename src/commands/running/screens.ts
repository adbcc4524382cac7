import { JsonScreen, LineScreen } from '../../run/screen/lines.ts';
import type { Screen } from '../../run/screen/screen.ts';
import type { CommandIo } from '../shared/io.ts';

/** JSON lines when asked for, a live list at a terminal, plain lines everywhere else. */
export async function screenFor(io: CommandIo, json: boolean): Promise<Screen> {
  if (json) return new JsonScreen((line) => io.out(line));
  if (!io.live) return new LineScreen((line) => io.err(line));
  const { TaskListScreen } = await import('../../run/screen/tasklist.ts');
  return new TaskListScreen((line) => io.err(line));
}
