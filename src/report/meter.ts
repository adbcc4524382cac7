import type { Lag } from '../core/database/live.ts';
import type { Meter } from '../run/meter.ts';
import type { Style } from '../util/style.ts';
import { formatBytes } from '../util/units.ts';

/** Whether one can still go back, or how a copy follows, in a few lines. */
export function meterText(meter: Meter, style: Style, isHeld = false): string {
  if ('unknown' in meter)
    return style.yellow(`${isHeld ? 'how green follows' : 'way back'}: not known, ${meter.unknown}`);
  if ('following' in meter) return followingText(meter.following, style);
  const { lag, spoilers, columns } = meter;
  const behind = `${formatBytes(lag.bytes)} behind`;
  const lines: string[] = [];
  if (standsStill(lag)) {
    lines.push(style.red(`way back: stands still, ${behind}`), ...indented([whyOf(lag), ...spoilers]));
  } else if (spoilers.length > 0) {
    lines.push(style.yellow(`way back: open, ${behind}, and not lossless any more:`), ...indented(spoilers));
  } else {
    lines.push(style.green(`way back: open and lossless, ${behind}`));
  }
  if (columns.length > 0)
    lines.push(`  what is in columns that only the live side has stays there: ${columns.join(', ')}`);
  return lines.join('\n');
}

const standsStill = ({ error, running }: Lag): boolean => error !== undefined || !running;

const whyOf = ({ error }: Lag): string =>
  error ?? 'nobody applies the changes at the moment; the server tries again every few seconds';

function followingText(lag: Lag, style: Style): string {
  const behind = formatBytes(lag.bytes);
  if (!standsStill(lag)) return style.green(`green is behind by ${behind}`);
  return [style.red(`green stands still, and is behind by ${behind}`), ...indented([whyOf(lag)])].join('\n');
}

const indented = (lines: readonly string[]): string[] =>
  lines.flatMap((line) => line.split('\n')).map((line) => `  ${line}`);
