import type { Meter } from '../run/meter.ts';
import type { Style } from '../util/style.ts';
import { formatBytes } from '../util/units.ts';

/** Whether one can still go back, in a few lines. */
export function meterText(meter: Meter, style: Style): string {
  if ('unknown' in meter) return style.yellow(`way back: not known, ${meter.unknown}`);
  const { lag, spoilers, columns } = meter;
  const behind = `${formatBytes(lag.bytes)} behind`;
  const lines: string[] = [];
  if (lag.error !== undefined || !lag.running) {
    const why =
      lag.error ?? 'nobody applies the changes at the moment; the server tries again every few seconds';
    lines.push(style.red(`way back: stands still, ${behind}`), ...indented([why]));
  } else if (spoilers.length > 0) {
    lines.push(style.yellow(`way back: open, ${behind}, and not lossless any more:`), ...indented(spoilers));
  } else {
    lines.push(style.green(`way back: open and lossless, ${behind}`));
  }
  if (columns.length > 0)
    lines.push(`  what is in columns that only the live side has stays there: ${columns.join(', ')}`);
  return lines.join('\n');
}

const indented = (lines: readonly string[]): string[] =>
  lines.flatMap((line) => line.split('\n')).map((line) => `  ${line}`);
