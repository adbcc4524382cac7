/** Where an entry of PgBouncer's `[databases]` points. */
export interface Pointing {
  readonly host: string | undefined;
  readonly port: string | undefined;
  readonly dbname: string;
}

interface Entry {
  /** The parameters of the line, from here to there in the text. */
  readonly start: number;
  readonly end: number;
  readonly parameters: readonly { readonly key: string; readonly value: string }[];
}

const LINE = /^([ \t]*)("(?:[^"]|"")*"|[^\s=;#[%]+)([ \t]*=[ \t]*)([^\r\n]*?)[ \t]*$/;
const SECTION = /^[ \t]*\[([^\]]*)\][ \t]*$/;
const PARAMETER = /([A-Za-z_]+)[ \t]*=[ \t]*(?:'((?:[^']|'')*)'|([^\s']*))/g;

/**
 * Finds an entry by its name: in the section `[databases]`, or anywhere in a file without sections, as one is that is
 * included. Throws when it is not there, or twice.
 */
export function findEntry(text: string, name: string): Entry {
  const whole = !/^[ \t]*\[[^\]]*\]/m.test(text);
  const found: Entry[] = [];
  let inside = whole;
  let offset = 0;
  for (const line of text.split('\n')) {
    const section = SECTION.exec(line.replace(/\r$/, ''));
    if (section) inside = section[1] === 'databases';
    const match = inside ? LINE.exec(line.replace(/\r$/, '')) : null;
    if (match && unquoted(match[2]!) === name) {
      const start = offset + match[1]!.length + match[2]!.length + match[3]!.length;
      found.push({ start, end: start + match[4]!.length, parameters: parametersOf(match[4]!) });
    }
    offset += line.length + 1;
  }
  if (found.length === 0) throw new Error(`there is no line "${name} = …" in its section [databases]`);
  if (found.length > 1) throw new Error(`there are ${found.length} lines "${name} = …" in it`);
  return found[0]!;
}

const unquoted = (name: string): string =>
  name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;

function parametersOf(text: string): Entry['parameters'] {
  const parameters = [...text.matchAll(PARAMETER)].map((match) => ({
    key: match[1]!.toLowerCase(),
    value: match[2]?.replaceAll("''", "'") ?? match[3]!,
  }));
  if (text.replaceAll(PARAMETER, '').trim() !== '') throw new Error(`this cannot be read: ${text}`);
  return parameters;
}

export function pointingOf({ parameters }: Entry, name: string): Pointing {
  const last = (key: string): string | undefined => parameters.findLast((each) => each.key === key)?.value;
  return { host: last('host'), port: last('port'), dbname: last('dbname') ?? name };
}

/** The text with the entry pointed elsewhere; its other parameters, and everything around it, stay as they are. */
export function pointed(text: string, name: string, to: Pointing): string {
  const entry = findEntry(text, name);
  const values: Readonly<Record<string, string | undefined>> = { ...to };
  const kept = text.slice(entry.start, entry.end).replaceAll(PARAMETER, (all: string, key: string) => {
    const folded = key.toLowerCase();
    return folded in values ? write(key, values[folded]) : all;
  });
  const missing = Object.entries(values).filter(
    ([key, value]) => value !== undefined && !entry.parameters.some((parameter) => parameter.key === key),
  );
  const line = [...missing.map(([key, value]) => write(key, value)), kept.trim()].filter(Boolean).join(' ');
  return text.slice(0, entry.start) + line + text.slice(entry.end);
}

const write = (key: string, value: string | undefined): string =>
  value === undefined
    ? ''
    : `${key}=${/^[\w./:-]+$/.test(value) ? value : `'${value.replaceAll("'", "''")}'`}`;
