import { RefusedError, StepError, UsageError } from '../../core/errors.ts';
import { excerpt, placeOf } from './text/source.ts';

/** Something that is wrong with a file, or with a file and the version table, found before anything runs. */
export interface Mistake {
  /** The file's path, or the folder's. */
  readonly path: string;
  /** The file's name, for the message. */
  readonly name: string;
  readonly message: string;
  readonly hint: string;
  /** Where in the file's text. */
  readonly at?: { readonly text: string; readonly offset: number };
}

/**
 * Who looks: a plan, before anything was touched, or a run that is under way. It decides the class of the error,
 * and with it the exit code.
 */
export type Moment = 'plan' | 'apply';

/** Throws one error that lists all the mistakes; does nothing when there are none. */
export function refuse(mistakes: readonly Mistake[], kind: 'files' | 'state', moment: Moment): void {
  const [first] = mistakes;
  if (!first) return;
  const { message, details } = mistakes.length === 1 ? alone(first) : together(mistakes);
  if (moment === 'apply') throw new StepError(message, details);
  throw kind === 'files' ? new UsageError(message, details) : new RefusedError(message, details);
}

interface Told {
  message: string;
  details: { where: string; hint: string; detail?: string };
}

function alone(mistake: Mistake): Told {
  const { name, place, caret } = told(mistake);
  return {
    message: `${name}: ${mistake.message}`,
    details: {
      where: `${mistake.path}${place}`,
      hint: mistake.hint,
      ...(caret === undefined ? {} : { detail: caret }),
    },
  };
}

function together(mistakes: readonly Mistake[]): Told {
  const blocks = mistakes.map((mistake) => {
    const { name, caret } = told(mistake);
    const lines = [
      `${name}: ${mistake.message}`,
      ...(caret === undefined ? [] : [caret]),
      `  ${mistake.hint}`,
    ];
    return lines.join('\n');
  });
  const paths = [...new Set(mistakes.map((mistake) => mistake.path))];
  return {
    message: `${mistakes.length} mistakes in the migrations`,
    details: { where: paths.join(', '), hint: 'mend all of them, then run again', detail: blocks.join('\n') },
  };
}

function told({ name, at }: Mistake): { name: string; place: string; caret: string | undefined } {
  if (!at) return { name, place: '', caret: undefined };
  const { line, column } = placeOf(at.text, at.offset);
  const place = `:${line}:${column}`;
  return { name: `${name}${place}`, place, caret: excerpt(at.text, at.offset) };
}
