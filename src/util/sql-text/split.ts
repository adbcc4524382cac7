import { tokenAt, type Token } from './scan.ts';

/** An unquoted word of a statement, in lower case. */
interface Word {
  readonly text: string;
  /** How many parentheses stand open around it. */
  readonly depth: number;
}

export interface Statement {
  /** From the first token to the last; neither the semicolon nor comments around it. */
  readonly text: string;
  /** Offset in the file, in UTF-16 units. */
  readonly start: number;
  /** The first words, enough to tell what kind of statement it is. */
  readonly words: readonly Word[];
}

/** A line comment, and whether it stands before the first statement. */
export interface LineComment {
  readonly text: string;
  readonly start: number;
  readonly leading: boolean;
}

export interface Script {
  readonly statements: readonly Statement[];
  readonly comments: readonly LineComment[];
  /** Where the text stops being SQL that can be split; the statements before it are there. */
  readonly trouble?: Trouble;
}

interface Trouble {
  readonly start: number;
  readonly message: string;
  readonly hint: string;
}

const WORDS_KEPT = 64;

/** Cuts a file into statements as psql does: strings, comments, parentheses and BEGIN ATOMIC bodies stay whole. */
export function split(text: string): Script {
  const statements: Statement[] = [];
  const comments: LineComment[] = [];
  let open = new OpenStatement();
  for (let at = text.startsWith('\uFEFF') ? 1 : 0; at < text.length;) {
    const token = tokenAt(text, at);
    at = token.end;
    if (token.kind === 'unterminated') {
      return { statements, comments, trouble: unterminated(token.what ?? 'text', token.start) };
    }
    if (token.kind === 'space' || token.kind === 'block-comment') continue;
    if (token.kind === 'line-comment') {
      const leading = statements.length === 0 && open.isEmpty;
      comments.push({ text: text.slice(token.start, token.end), start: token.start, leading });
      continue;
    }
    if (token.kind === 'symbol' && text[token.start] === '\\') {
      return { statements, comments, trouble: metaCommand(text, token.start) };
    }
    if (token.kind === 'symbol' && text[token.start] === ';' && open.endsHere) {
      if (!open.isEmpty) statements.push(open.finish(text));
      open = new OpenStatement();
    } else {
      open.take(token, text);
    }
  }
  const unclosed = open.unclosed;
  if (unclosed) return { statements, comments, trouble: unterminated(unclosed.what, unclosed.start) };
  if (!open.isEmpty) statements.push(open.finish(text));
  return { statements, comments };
}

/** The statement that is being read: what has been seen of it, and what stands open. */
export class OpenStatement {
  private start = -1;
  private end = -1;
  private readonly words: Word[] = [];
  private readonly parentheses: number[] = [];
  /** Offsets of the BEGIN of a BEGIN ATOMIC body, and of each CASE inside of it. */
  private readonly blocks: number[] = [];
  private previous: { text: string; start: number } = { text: '', start: -1 };

  get isEmpty(): boolean {
    return this.start < 0;
  }

  get endsHere(): boolean {
    return this.parentheses.length === 0 && this.blocks.length === 0;
  }

  get unclosed(): { what: string; start: number } | undefined {
    const parenthesis = this.parentheses[0];
    if (parenthesis !== undefined) return { what: 'parenthesis', start: parenthesis };
    const block = this.blocks[0];
    return block === undefined ? undefined : { what: 'BEGIN ATOMIC', start: block };
  }

  take(token: Token, text: string): void {
    if (this.start < 0) this.start = token.start;
    this.end = token.end;
    const content =
      token.kind === 'word' || token.kind === 'symbol' ? text.slice(token.start, token.end) : '';
    if (content === '(') this.parentheses.push(token.start);
    if (content === ')') this.parentheses.pop();
    const lower = content.toLowerCase();
    if (token.kind === 'word') this.takeWord(lower, token.start);
    this.previous = { text: lower, start: token.start };
  }

  finish(text: string): Statement {
    return { text: text.slice(this.start, this.end), start: this.start, words: this.words };
  }

  private takeWord(word: string, start: number): void {
    const depth = this.parentheses.length;
    if (this.words.length < WORDS_KEPT) this.words.push({ text: word, depth });
    if (depth > 0 || !this.makesRoutine) return;
    // `x.end` and `as end` are names, whatever the word.
    if (this.previous.text === '.' || this.previous.text === 'as') return;
    if (word === 'atomic' && this.previous.text === 'begin') this.blocks.push(this.previous.start);
    else if (this.blocks.length === 0) return;
    else if (word === 'case') this.blocks.push(start);
    else if (word === 'end') this.blocks.pop();
  }

  private get makesRoutine(): boolean {
    const [create, ...rest] = this.words.slice(0, 4).map((word) => word.text);
    const kind = rest[0] === 'or' && rest[1] === 'replace' ? rest[2] : rest[0];
    return create === 'create' && (kind === 'function' || kind === 'procedure');
  }
}

const unterminated = (what: string, start: number): Trouble => ({
  start,
  message: `this ${what} is never closed`,
  hint: 'it goes on to the end of the file; close it where it ends',
});

function metaCommand(text: string, start: number): Trouble {
  const command = /\\\S*/y;
  command.lastIndex = start;
  return {
    start,
    message: `${command.exec(text)?.[0] ?? '\\'} is a command of psql, not SQL`,
    hint: 'take it out: the file is sent to the server statement by statement, without psql',
  };
}
