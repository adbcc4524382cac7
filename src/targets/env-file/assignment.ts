/** Where a variable's value stands in a file's text. */
export interface Assignment {
  readonly name: string;
  /** As it is written between its quotes: nothing is unescaped, so that what is kept stays to the letter. */
  readonly value: string;
  readonly start: number;
  readonly end: number;
  readonly quote: '' | "'" | '"';
}

// Quoted values may span lines, which is why the whole text is read and not line by line. JavaScript's own ^ and $ see
// line ends that a shell does not.
const LINE =
  /(?<![^\n])[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*=[ \t]*(?:'([^']*)'|"((?:[^"\\]|\\[^])*)"|([^\r\n]*?))[ \t]*(?:(?<=[ \t'"=])#[^\r\n]*)?\r?(?![^\n])/g;

/** Finds a variable of a `.env` file. Throws when it is not there, or there twice: then nobody knows which one counts. */
export function findVariable(text: string, name: string): Assignment {
  const found: Assignment[] = [];
  for (const match of text.matchAll(LINE)) {
    if (match[1] === name) found.push(assignmentOf(match));
  }
  if (found.length === 0) throw new Error(`${name} is not in the file`);
  if (found.length > 1) throw new Error(`${name} is in the file ${found.length} times`);
  return found[0]!;
}

function assignmentOf(match: RegExpExecArray): Assignment {
  const [all, name, single, double, bare] = match;
  const raw = single ?? double ?? bare ?? '';
  const quote = single !== undefined ? "'" : double !== undefined ? '"' : '';
  const equals = all.indexOf('=');
  const start =
    match.index +
    (quote ? all.indexOf(quote, equals) + 1 : equals + 1 + leadingBlanks(all.slice(equals + 1)));
  return { name: name!, value: raw, start, end: start + raw.length, quote };
}

const leadingBlanks = (text: string): number => /^[ \t]*/.exec(text)![0].length;

/** The text with another value at the same place, quoted as it was, or quoted now if it has to be. */
export function replaceValue(text: string, assignment: Assignment, value: string): string {
  if (/[\r\n]/.test(value)) throw new Error('a value with a line break cannot be written');
  // A comment right behind the sign would become part of a value without quotes.
  const glued = assignment.quote === '' && text[assignment.end] === '#';
  const changed = splice(
    text,
    assignment,
    glued ? `'${written(value, "'")}'` : written(value, assignment.quote),
  );
  // A quote that was left open further up would join with one of ours: then nobody knows how the file is read.
  if (findVariable(changed, assignment.name).value !== value) {
    throw new Error(
      `the value of ${assignment.name} cannot be written so that it is read back; is a quote left open above?`,
    );
  }
  return changed;
}

/** The text with other characters where the value stands, to the letter. */
export const splice = (text: string, { start, end }: Assignment, characters: string): string =>
  text.slice(0, start) + characters + text.slice(end);

function written(value: string, quote: Assignment['quote']): string {
  if (quote === '"' && /["\\]/.test(value))
    throw new Error('a value with " or \\ cannot stand between double quotes');
  if (quote === "'" && value.includes("'"))
    throw new Error('a value with a single quote cannot stand between single quotes');
  if (quote !== '' || /^[\w.:/@%+=?&,~-]*$/.test(value)) return value;
  return `'${written(value, "'")}'`;
}
