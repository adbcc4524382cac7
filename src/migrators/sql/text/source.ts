import { redact } from '../../../util/redact.ts';

/** A place in a file, as editors count: lines and characters from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

const WIDTH = 100;

/** Code points, which is what the server counts and most editors do. */
const pointsOf = (text: string): string[] => Array.from(text);

export function placeOf(text: string, offset: number): Place {
  const before = text.slice(0, offset).replace(/^\uFEFF/, '');
  const line = before.split('\n');
  return { line: line.length, column: pointsOf(line.at(-1) ?? '').length + 1 };
}

/** Offset behind `position - 1` characters of a statement: the server counts characters, not UTF-16 units. */
export function offsetOfPosition(statement: string, position: number): number {
  let offset = 0;
  let count = 1;
  for (const character of statement) {
    if (count >= position) break;
    offset += character.length;
    count += 1;
  }
  return offset;
}

/** Blots out secrets, and the constant behind the word PASSWORD, which SQL writes without an equals sign. */
export const shown = (sql: string): string =>
  redact(sql).replace(/(\bpassword\s+)(?:e?'(?:[^']|'')*'?|\$(\w*)\$.*)/gi, "$1'***'");

/** The line of a place with a caret under it. */
export function excerpt(text: string, offset: number): string {
  const { line, column } = placeOf(text, offset);
  const source = (text.split('\n')[line - 1] ?? '').replace(/^\uFEFF/, '').replaceAll(/[\t\r]/g, ' ');
  const gutter = String(line).padStart(5);
  const whole = shown(source);
  // With something blotted out the columns are no longer those of the file.
  if (whole !== source) return `${gutter} | ${clip(whole)}`;
  const from = column > WIDTH - 20 ? column - WIDTH / 2 : 0;
  const part = pointsOf(source).slice(from).join('');
  const lead = from > 0 ? '…' : '';
  return `${gutter} | ${lead}${clip(part)}\n      | ${' '.repeat(lead.length + column - 1 - from)}^`;
}

const clip = (text: string): string => {
  const all = pointsOf(text);
  return all.length > WIDTH ? `${all.slice(0, WIDTH - 1).join('')}…` : text.trimEnd();
};

/** A statement's first line, for lists. */
export function firstLine(statement: string): string {
  const [first = '', ...rest] = shown(statement).split('\n');
  const line = clip(first.replaceAll('\t', ' ').trimEnd());
  return rest.length > 0 && !line.endsWith('…') ? `${line} …` : line;
}
