import { messageOf } from '../core/errors.ts';
import type { Names } from '../core/database/database.ts';
import type { Drivers } from './open.ts';

/** In which state blue, green and the targets are now, by asking them. Never throws: not knowing is an answer. */
export async function describeNow(drivers: Drivers, names: Names): Promise<string[]> {
  const lines: string[] = [];
  drivers.database.setPatience(0);
  for (const side of ['blue', 'green'] as const) {
    try {
      const state = await drivers.database.state(side);
      if (!state)
        lines.push(
          `${side}: there is no ${side === 'green' ? `copy ${names.green}` : `database ${names.blue}`}`,
        );
      else
        lines.push(`${side}: database ${state.name} ${state.closed ? 'is closed' : 'accepts connections'}`);
    } catch (error) {
      lines.push(`${side}: not known, the server does not answer (${messageOf(error)})`);
    }
  }
  for (const { name, target } of drivers.targets) {
    try {
      lines.push(`${name}: points at ${(await target.current()) ?? 'neither side'}`);
    } catch (error) {
      lines.push(`${name}: not known (${messageOf(error)})`);
    }
  }
  return lines;
}
