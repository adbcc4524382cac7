import type { z } from 'zod';
import { nearest } from './suggest.ts';

type RawIssue = z.core.$ZodRawIssue;

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'a map',
  record: 'a map',
  null: 'empty',
};

const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;

/** zod's issues in plain words; a message that a schema brings along itself comes before these. */
export function wording(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type': {
      const quote = issue.expected === 'string' && typeof issue.input !== 'object';
      return `must be ${KINDS[issue.expected] ?? issue.expected}${quote ? '; put it in quotes' : ''}`;
    }
    case 'invalid_value': {
      const words = issue.values.map(String);
      const meant = typeof issue.input === 'string' ? nearest(issue.input, words) : undefined;
      const hint = meant === undefined ? '' : `; did you mean ${JSON.stringify(meant)}?`;
      return `must be ${listed(issue.values.map((value) => JSON.stringify(value)))}${hint}`;
    }
    case 'too_small':
      if (Number(issue.minimum) === 1 && typeof issue.input !== 'number') return 'must not be empty';
      return `must be ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${counted(issue.origin)}`;
    case 'too_big':
      return `must be ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${counted(issue.origin)}`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return issue.format === 'regex' ? `must match ${issue.pattern}` : `must be a valid ${issue.format}`;
    case 'invalid_key':
    case 'invalid_element':
    case 'invalid_union':
    case 'unrecognized_keys':
    case 'custom':
    default:
      return undefined;
  }
}

const counted = (origin: string): string =>
  origin === 'string' ? ' characters' : origin === 'array' || origin === 'set' ? ' entries' : '';
