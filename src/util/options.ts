import { z } from 'zod';
import { parseDuration, parseSize } from './units.ts';

/** In the JSON Schema a value may also be a reference, which editors cannot look behind. */
const orReference = (pattern: string): string => `^(?:${pattern}|.*\\$\\{.+\\}.*)$`;

const withoutUnit =
  (examples: (amount: number) => string, otherwise: string) => (issue: { input: unknown }) =>
    typeof issue.input === 'number'
      ? `a number without a unit; write ${examples(issue.input)}`
      : issue.input === undefined
        ? undefined
        : otherwise;

const DURATION = 'must be a duration such as 250ms, 10s, 5m, 1.5h or 7d';

/**
 * A length of time with its unit in the playbook (`250ms`, `10s`, `5m`, `1.5h`, `7d`), milliseconds after parsing.
 * A default is given as text: `duration().prefault('10s')`.
 */
export const duration = () =>
  z
    .string({ error: withoutUnit((n) => `${n}s or ${n}m`, DURATION) })
    .refine((text) => parseDuration(text) !== undefined, { error: DURATION })
    .meta({
      pattern: orReference('\\d+(\\.\\d+)?(ms|s|m|h|d)'),
      description: 'A duration with its unit: 250ms, 10s, 5m, 1.5h, 7d.',
    })
    .transform((text) => parseDuration(text) ?? 0);

const SIZE = 'must be a size such as 512kB, 10MB, 1.5GB or 1GiB';

/**
 * A number of bytes with its unit in the playbook (`512kB`, `10MB`, `1GiB`), bytes after parsing.
 * A default is given as text: `size().prefault('10MB')`.
 */
export const size = () =>
  z
    .string({ error: withoutUnit((n) => `${n}MB or ${n}GB`, SIZE) })
    .refine((text) => parseSize(text) !== undefined, { error: SIZE })
    .meta({
      pattern: orReference('\\d+(\\.\\d+)?(B|kB|MB|GB|KiB|MiB|GiB)'),
      description: 'A size with its unit: 512kB, 10MB, 1.5GB (powers of 1000), 1GiB (powers of 1024).',
    })
    .transform((text) => parseSize(text) ?? 0);

const SHARE = 'must be a share such as 5% or 0.1%, more than 0% and less than 100%';

/** A part of the whole in percent in the playbook (`5%`, `0.1%`), a number between 0 and 1 after parsing. */
export const share = () =>
  z
    .string({ error: withoutUnit((n) => `${n}%`, SHARE) })
    .refine((text) => /^\d{1,2}(?:\.\d{1,4})?%$/.test(text) && Number.parseFloat(text) > 0, { error: SHARE })
    .meta({ pattern: orReference('\\d{1,2}(\\.\\d{1,4})?%') })
    .transform((text) => Number.parseFloat(text) / 100);

/** Text with something in it. */
export const text = () => z.string().min(1);

/** Path of a file or folder; the driver lists the option in `paths`, and gets it absolute. */
export const path = () =>
  text().refine((value) => !value.startsWith('~'), {
    error: '"~" is not expanded here; write the whole path, or one relative to the playbook',
  });
