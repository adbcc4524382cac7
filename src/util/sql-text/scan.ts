/** What a stretch of SQL text is, as far as finding the ends of statements needs to know. */
type TokenKind =
  | 'space'
  | 'line-comment'
  | 'block-comment'
  | 'word'
  | 'identifier'
  | 'constant'
  | 'symbol'
  | 'unterminated';

export interface Token {
  readonly kind: TokenKind;
  /** Offsets into the text, in UTF-16 units. */
  readonly start: number;
  readonly end: number;
  /** What is not closed, for people; only of `unterminated`. */
  readonly what?: string;
}

const SPACE = /[ \t\n\r\f\v]+/y;
const LINE_COMMENT = /--[^\n\r]*/y;
// PostgreSQL takes every byte above 127 for a letter. A `$` may stand inside of a name, so `a$b$` is one word.
const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const NUMBER = /\d[\w.]*/y;
const PARAMETER = /\$\d+/y;
const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const ESCAPE_STRING = /[eE]'/y;
const PREFIXED_STRING = /(?:[bBxXnN]|[uU]&)'/y;
const PREFIXED_IDENTIFIER = /[uU]&"/y;

/** Length of the pattern's match right at a place; 0 when there is none. */
function matched(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex - at : 0;
}

/** The token that begins at `start`, cut as psql and the server cut it with standard_conforming_strings on. */
export function tokenAt(text: string, start: number): Token {
  const space = matched(SPACE, text, start);
  if (space > 0) return { kind: 'space', start, end: start + space };
  const comment = matched(LINE_COMMENT, text, start);
  if (comment > 0) return { kind: 'line-comment', start, end: start + comment };
  if (text.startsWith('/*', start)) {
    return closed('block-comment', 'comment', start, endOfComment(text, start), text);
  }
  return quoted(text, start) ?? plain(text, start);
}

function quoted(text: string, start: number): Token | undefined {
  const first = text[start];
  if (first === "'") return closed('constant', 'string', start, endOfQuote(text, start + 1, "'"), text);
  if (first === '"')
    return closed('identifier', 'quoted name', start, endOfQuote(text, start + 1, '"'), text);
  if (matched(ESCAPE_STRING, text, start) > 0) {
    return closed('constant', 'string', start, endOfEscapeString(text, start + 2), text);
  }
  const string = matched(PREFIXED_STRING, text, start);
  if (string > 0) return closed('constant', 'string', start, endOfQuote(text, start + string, "'"), text);
  const identifier = matched(PREFIXED_IDENTIFIER, text, start);
  if (identifier > 0) {
    return closed('identifier', 'quoted name', start, endOfQuote(text, start + identifier, '"'), text);
  }
  const tag = matched(DOLLAR_TAG, text, start);
  if (tag === 0) return undefined;
  const delimiter = text.slice(start, start + tag);
  const close = text.indexOf(delimiter, start + tag);
  return closed('constant', `${delimiter} string`, start, close < 0 ? undefined : close + tag, text);
}

function plain(text: string, start: number): Token {
  const word = matched(WORD, text, start);
  if (word > 0) return { kind: 'word', start, end: start + word };
  const number = matched(NUMBER, text, start) || matched(PARAMETER, text, start);
  if (number > 0) return { kind: 'constant', start, end: start + number };
  // One character at a time: `--` and `/*` begin a comment even in the middle of what could be an operator.
  return { kind: 'symbol', start, end: start + 1 };
}

function closed(kind: TokenKind, what: string, start: number, end: number | undefined, text: string): Token {
  return end === undefined ? { kind: 'unterminated', start, end: text.length, what } : { kind, start, end };
}

/** A doubled quote stands for itself. */
function endOfQuote(text: string, from: number, quote: string): number | undefined {
  for (let at = from; ;) {
    const found = text.indexOf(quote, at);
    if (found < 0) return undefined;
    if (text[found + 1] !== quote) return found + 1;
    at = found + 2;
  }
}

function endOfEscapeString(text: string, from: number): number | undefined {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') {
      at += 1;
    } else if (text[at] === "'") {
      if (text[at + 1] === "'") at += 1;
      else {
        // After a line break the string may go on, and backslashes count there too.
        const next = continuation(text, at + 1);
        if (next === undefined) return at + 1;
        at = next;
      }
    }
  }
  return undefined;
}

/** Offset of the quote that continues a string on another line. */
function continuation(text: string, from: number): number | undefined {
  let at = from;
  for (;;) {
    const length = matched(SPACE, text, at) || matched(LINE_COMMENT, text, at);
    if (length === 0) break;
    at += length;
  }
  return text[at] === "'" && /[\n\r]/.test(text.slice(from, at)) ? at : undefined;
}

/** Block comments nest. */
function endOfComment(text: string, start: number): number | undefined {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = start + 2;
  let depth = 1;
  for (let match = edge.exec(text); match; match = edge.exec(text)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return undefined;
}
