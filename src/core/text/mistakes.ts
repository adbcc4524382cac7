import { LineCounter } from 'yaml';
import { UsageError } from '../errors.ts';
import { plural } from '../../util/units.ts';
import { redact } from '../../util/redact.ts';

/** Where something stands in the playbook's text, in UTF-16 units from its beginning. */
export interface Place {
  readonly start: number;
  readonly end: number;
}

/** The way to a value: keys, and numbers for entries of a list. */
export type KeyPath = readonly (string | number)[];

/** Something in a playbook that must be changed before it can run. */
export interface Mistake {
  /** Both from 1. */
  readonly line: number;
  readonly column: number;
  /** `switch.targets[0].env-file.path`; empty when it is about the whole file. */
  readonly path: string;
  /** What is wrong, and what to write instead. */
  readonly message: string;
  /** The line with a caret under the place, in two lines; undefined when there is no line to show. */
  readonly excerpt: string | undefined;
}

/** Nobody mends more at once, and a hostile file could have half a million. */
const KEPT_MISTAKES = 1000;
const SHOWN_MISTAKES = 100;
const SHOWN_WIDTH = 110;
/** Around what is shown: a secret is blotted out whole even where the excerpt cuts it. */
const MARGIN = 400;
const MESSAGE_LIMIT = 500;

/** A playbook that does not validate; `mistakes` are all of them, by place, and `detail` is their text. */
export class PlaybookError extends UsageError {
  readonly file: string;
  readonly mistakes: readonly Mistake[];

  constructor(file: string, mistakes: readonly Mistake[]) {
    const shown = mistakes.slice(0, SHOWN_MISTAKES).map((mistake) => format(file, mistake));
    const more = mistakes.length - shown.length;
    if (more > 0) shown.push(`… and ${plural(more, 'mistake')} more`);
    super(`${file} has ${plural(mistakes.length, 'mistake')}`, { detail: shown.join('\n') });
    this.file = file;
    this.mistakes = mistakes;
  }
}

function format(file: string, { line, column, path, message, excerpt }: Mistake): string {
  const head = `${file}:${line}:${column}  ${path === '' ? '' : `${path}: `}${message}`;
  return excerpt === undefined ? head : `${head}\n${excerpt}`;
}

/** Collects what is wrong with one playbook, so that everything is reported at once. */
export class Mistakes {
  readonly #file: string;
  readonly #text: string;
  readonly #lines = new LineCounter();
  readonly #found = new Map<string, { place: Place; path: KeyPath; message: string }>();

  constructor(file: string, text: string) {
    this.#file = file;
    this.#text = text;
    this.#lines.addNewLine(0);
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1))
      this.#lines.addNewLine(at + 1);
  }

  /** The same mistake at the same place counts once, however many ways lead there; after the first 1000 none does. */
  add(place: Place, path: KeyPath, message: string): void {
    const key = `${place.start} ${message}`;
    if (!this.#found.has(key) && this.#found.size < KEPT_MISTAKES)
      this.#found.set(key, { place, path, message });
  }

  get any(): boolean {
    return this.#found.size > 0;
  }

  /** The playbook's text between two places. */
  source(place: Place): string {
    return this.#text.slice(place.start, place.end);
  }

  /** `playbook.yml:12:5` */
  where(place: Place): string {
    const { line, col } = this.#lines.linePos(place.start);
    return `${this.#file}:${line}:${col}`;
  }

  /** @throws PlaybookError with everything that was found, in the order of the file. */
  throwIfAny(): void {
    if (!this.any) return;
    const sorted = [...this.#found.values()].sort((a, b) => a.place.start - b.place.start);
    throw new PlaybookError(
      this.#file,
      sorted.map(({ place, path, message }, index) => {
        const { line, col: column } = this.#lines.linePos(place.start);
        return {
          line,
          column,
          path: redact(formatPath(path)),
          message: redact(message.slice(0, MESSAGE_LIMIT)),
          excerpt: index < SHOWN_MISTAKES ? this.#excerpt(place, line, column) : undefined,
        };
      }),
    );
  }

  #excerpt(place: Place, line: number, column: number): string | undefined {
    const start = this.#lines.lineStarts[line - 1] ?? 0;
    const end = this.#lines.lineStarts[line] ?? this.#text.length + 1;
    const cut = Math.max(start, place.start - SHOWN_WIDTH - MARGIN);
    const near = this.#text.slice(cut, Math.min(end - 1, place.start + SHOWN_WIDTH + MARGIN));
    const whole = printable(near.replace(/\r$/, '')).trimEnd();
    if (whole.trim() === '') return undefined;
    const shown = redact(whole);
    const at = Math.min(redact(whole.slice(0, start + column - 1 - cut)).length, shown.length);
    const from = at > SHOWN_WIDTH - 30 || cut > start ? Math.max(0, at - 40) : 0;
    const part = shown.slice(from, from + SHOWN_WIDTH);
    const room = part.length - (at - from);
    const gutter = String(line).padStart(5);
    const carets = '^'.repeat(Math.max(1, Math.min(place.end - place.start, room)));
    return `${gutter} | ${part}\n${' '.repeat(gutter.length)} | ${' '.repeat(at - from)}${carets}`;
  }
}

/** One column a character, and nothing that a terminal would obey. */
const printable = (line: string): string =>
  line.replaceAll('\t', ' ').replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '�');

/** A word of the playbook for a message: on one line, and not longer than one wants to read. */
export const quoted = (word: string): string =>
  JSON.stringify(printable(word.length > 60 ? `${word.slice(0, 60)}…` : word));

/** `switch.targets[0].env-file`; keys that are no plain words are quoted. */
function formatPath(path: KeyPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    if (!/^[\w-]{1,60}$/.test(part)) return `${text}[${quoted(part)}]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');
}
