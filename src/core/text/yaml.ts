import { Composer, type CST, Lexer, Parser, type Document, type YAMLParseError } from 'yaml';
import { maskReferences, unmaskReferences } from './references.ts';
import type { Mistakes, Place } from './mistakes.ts';
import { PLAYBOOK, type TextKind } from './kinds.ts';
import { TreeBuilder, type MapTree } from './tree.ts';

/** Duplicate keys are looked for in TreeBuilder: yaml compares every key with every other. */
const OPTIONS = {
  version: '1.2',
  schema: 'core',
  merge: false,
  resolveKnownTags: false,
  uniqueKeys: false,
  prettyErrors: false,
} as const;

/** Reads a text as a map; undefined when there are mistakes that leave nothing to look at further. */
export function readYaml(text: string, mistakes: Mistakes, kind: TextKind = PLAYBOOK): MapTree | undefined {
  const { noun, begins, limits } = kind;
  const start = { start: 0, end: 1 };
  if (!isText(text, mistakes, kind)) return undefined;
  const masked = maskReferences(text);
  addOversize(masked, mistakes, kind);
  if (mistakes.any) return undefined;
  const tokens = [...new Parser().parse(masked)];
  const deep = tooDeep(tokens, limits.depth);
  if (deep) {
    mistakes.add(deep, [], `nested more than ${limits.depth} levels deep: this is no ${noun}`);
    return undefined;
  }
  const [document, second] = compose(tokens, text.length);
  if (second) {
    const at = second.contents?.range?.[0] ?? second.range[0];
    mistakes.add({ start: at, end: at + 1 }, [], `a second document begins here; a file holds one ${noun}`);
  }
  for (const error of document?.errors ?? []) addSyntaxError(error, mistakes);
  if (mistakes.any || !document) return undefined;
  const tree = new TreeBuilder(mistakes, kind).build(document.contents, start, []);
  if (tree.kind === 'map') return tree;
  const empty = tree.kind === 'scalar' && tree.value === null;
  mistakes.add(
    tree.place,
    [],
    empty ? `the ${noun} is empty; it begins with ${begins}` : `a ${noun} is a map: lines such as ${begins}`,
  );
  return undefined;
}

function isText(text: string, mistakes: Mistakes, { noun }: TextKind): boolean {
  // eslint-disable-next-line no-control-regex
  const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f\uFDD0-\uFDD2]/.exec(text);
  if (!control) return true;
  const code = control[0].charCodeAt(0).toString(16).padStart(4, '0').toUpperCase();
  const place = { start: control.index, end: control.index + 1 };
  mistakes.add(place, [], `the character U+${code} does not belong in a text file; is this a ${noun}?`);
  return false;
}

/** The lexer is lazy and cheap; the parser and the composer behind it are neither. */
function addOversize(text: string, mistakes: Mistakes, { noun, limits }: TextKind): void {
  let count = 0;
  let start = 0;
  for (const lexeme of new Lexer().lex(text)) {
    count += 1;
    const end = start + lexeme.length;
    if (count > limits.lexemes)
      return mistakes.add(
        { start, end },
        [],
        `more than ${limits.lexemes} words and signs: this is no ${noun}`,
      );
    if (lexeme.length > limits.text && !/^[#\s]/.test(lexeme))
      return mistakes.add({ start, end }, [], `longer than ${limits.text} characters: this is no ${noun}`);
    if (!LEXER_MARKS.has(lexeme)) start = end;
  }
}

/** What the lexer puts between the text's own parts: beginnings of documents and of plain scalars, ends of flows. */
const LEXER_MARKS: ReadonlySet<string> = new Set(['\x02', '\x18', '\x1f']);

/** Measured on a stack of its own, because yaml's composer recurses. */
function tooDeep(tokens: readonly CST.Token[], most: number): Place | undefined {
  const waiting = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { token, depth } = next;
    if (depth > most) return { start: token.offset, end: token.offset + 1 };
    if (token.type === 'document' && token.value) waiting.push({ token: token.value, depth });
    if (!('items' in token)) continue;
    for (const { key, value } of token.items) {
      if (key) waiting.push({ token: key, depth: depth + 1 });
      if (value) waiting.push({ token: value, depth: depth + 1 });
    }
  }
  return undefined;
}

/** Errors without stack traces: half a million of them take seconds otherwise. */
function compose(tokens: readonly CST.Token[], end: number): Document.Parsed[] {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return [...new Composer(OPTIONS).compose(tokens, true, end)];
  } finally {
    Error.stackTraceLimit = limit;
  }
}

function addSyntaxError(error: YAMLParseError, mistakes: Mistakes): void {
  const [start, end] = error.pos;
  const place = { start: Math.max(0, start), end: Math.max(end, start + 1) };
  mistakes.add(place, [], `not valid YAML: ${unmaskReferences(error.message)}`);
}
