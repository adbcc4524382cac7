import type { Finding } from '../../core/drivers/check.ts';
import { formatDuration } from '../../util/units.ts';
import type { Told } from '../tool.ts';
import type { Struck } from './struck.ts';
import { nameOf, type Fault, type Kind } from './wish.ts';

/** What is told of a fault: that every promise held all the same, or which did not. */
export function faultFinding(
  { kind, step }: Fault,
  { told, as, well, happened, left = [] }: Struck,
  promises: readonly Finding[],
): Finding {
  const check = nameOf({ kind, step });
  if (!happened) return { check, severity: 'note', message: NOTHING[kind] ?? NOTHING_ELSE };
  const broken = promises.filter(({ severity }) => severity === 'failure' || severity === 'unknown');
  if (well && broken.length === 0 && left.length === 0)
    return {
      check,
      severity: 'ok',
      message: `${as} (${formatDuration(told.to - told.from)}); ${promises.map(({ message }) => message).join('; ')}`,
    };
  const lines = broken.map((one) => `${one.check}: ${one.message}${one.detail ? `\n${one.detail}` : ''}`);
  return {
    check,
    severity: 'failure',
    message: messageFor(kind, well, told, [
      ...broken.map((one) => one.check),
      ...(left.length > 0 ? ['putting back'] : []),
    ]),
    detail: [
      ...lines,
      ...left.map((line) => `after it was put back: ${line}`),
      ...(well ? [] : [told.output.split('\n').slice(-20).join('\n')]),
    ].join('\n'),
  };
}

const NOTHING_ELSE = 'it did not happen: the run was over before';
const NOTHING: Partial<Record<Kind, string>> = {
  refuse: 'it did not happen: the targets had been flipped before',
  full: 'it did not happen: nothing needed room any more',
  slow: 'it did not happen: nothing went to a server any more',
};

function messageFor(kind: Kind, well: boolean, { words, code }: Told, broken: readonly string[]): string {
  if (well) return `not every promise held: ${broken.join(', ')}`;
  if (kind === 'tamper' && code === 0) return 'no check saw the row that nobody wrote on blue';
  if (kind === 'migration' && code === 0) return 'the migration that fails came through';
  if (kind === 'refuse' && code === 0) return 'the run came through although a target refused';
  return `cutover ${words.join(' ')} ended with ${code ?? 'a signal'}`;
}
