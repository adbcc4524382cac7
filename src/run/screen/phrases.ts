import type { Event } from '../../core/event.ts';
import { formatBytes, formatCount, formatDuration } from '../../util/units.ts';
import type { Progress } from './screen.ts';

/** `1,204 of 3,351 rows, 36 %, about 2.1 s left: shops` */
export function progressText({ done, total, unit, note }: Progress, elapsedMs: number): string {
  const parts: string[] = [];
  if (unit === 'estimate') parts.push(`${formatDuration(elapsedMs)} of about ${formatDuration(total)}`);
  else if (total > 0)
    parts.push(`${amount(done, unit)} of ${amount(total, unit)} ${unit === 'bytes' ? '' : unit}`.trim());
  const share = total > 0 ? Math.min(done / total, 1) : 0;
  if (share > 0) parts.push(`${Math.floor(share * 100)} %`);
  if (unit !== 'estimate' && share > 0.05 && elapsedMs > 2000) {
    parts.push(`about ${formatDuration((elapsedMs / share) * (1 - share))} left`);
  }
  return [parts.join(', '), note].filter(Boolean).join(': ');
}

const amount = (count: number, unit: string): string =>
  unit === 'bytes' ? formatBytes(count) : formatCount(Math.round(count));

/** `███████░░░░░` */
export function bar({ done, total }: Progress, width = 24): string {
  if (total <= 0) return '';
  const filled = Math.round(Math.min(done / total, 1) * width);
  return '█'.repeat(filled) + '░'.repeat(width - filled);
}

/** What an event means, in words; undefined for events that are no news to a person. */
export function sentence(event: Event): string | undefined {
  switch (event.type) {
    case 'step-failed':
      return `failed after ${formatDuration(event.ms)}: ${event.error.message}`;
    case 'step-succeeded':
      return `done in ${formatDuration(event.ms)}`;
    case 'undo-failed':
      return `could not be put back: ${event.error.message}`;
    case 'gate-opened':
      return `asks: ${event.question}`;
    case 'gate-answered':
      return `answered with ${event.answer === 'go' ? 'yes' : 'no'} by ${event.by}`;
    case 'ownership-moved':
      return `ownership moves from ${event.from} to ${event.to}`;
    case 'step-progressed':
      return progressText(event, 0);
    case 'step-retried':
      return `tried again in ${formatDuration(event.waitMs)} (${event.attempt}): ${event.error.message}`;
    case 'run-resumed':
      return [`resumed by ${event.operator} from ${event.from}`, ...event.found].join('\n  ');
    case 'run-held':
      return event.error ? `held: ${event.error.message}` : 'held: everything but the switch is done';
    case 'swap-back-passed-over':
      return `${event.to} passes over ${event.transaction}`;
    case 'run-created':
    case 'step-started':
    case 'undo-started':
    case 'undo-finished':
    case 'run-finished':
    case 'swap-back-started':
    case 'swap-back-counted':
    case 'swap-back-finished':
    case 'swap-back-failed':
    case 'retire-started':
    case 'retire-finished':
    case 'retire-failed':
      return undefined;
  }
}
