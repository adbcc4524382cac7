/** The one function that quotes identifiers. NUL cannot be in a PostgreSQL name, so it is an error here. */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.includes('\0')) throw new TypeError(`not an identifier: ${JSON.stringify(name)}`);
  return `"${name.replaceAll('"', '""')}"`;
}

/** `"schema"."table"` for SQL. */
export const quotePath = (path: readonly string[]): string => path.map(quoteIdentifier).join('.');

/** A statement for people: string constants, which may hold secrets, are left out. */
export const withoutConstants = (sql: string): string =>
  sql.replaceAll(/\$([A-Za-z_]\w*)?\$[^]*?(?:\$\1\$|$)/g, "'…'").replaceAll(/'(?:[^']|'')*(?:'|$)/g, "'…'");

/** A string constant, for the utility statements that take no parameters. */
export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new TypeError('a string constant cannot hold NUL');
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? `E${quoted}` : quoted;
}

/** For people and playbooks: quotes only what PostgreSQL would not read back as it is. */
export const displayPath = (path: readonly string[]): string => path.map(displayName).join('.');

// Default privileges of no schema have an empty name among theirs.
const displayName = (name: string): string =>
  /^[a-z_][a-z0-9_$]*$/.test(name) ? name : name === '' ? '""' : quoteIdentifier(name);

/** The paths that a name in a playbook may mean: as it is written, and in `public`; none when it is not a path. */
export function meantBy(text: string): string[][] {
  const path = parsePath(text);
  return path ? [path, ['public', ...path]] : [];
}

/** Reads `schema.table."Odd.Column"`; undefined when it is not a path. Unquoted names fold to lower case as in SQL. */
export function parsePath(text: string): string[] | undefined {
  const parts: string[] = [];
  const pattern = /\s*(?:"((?:[^"]|"")*)"|([^\s".]+))\s*(\.|$)/y;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (!match) return undefined;
    parts.push(match[1] === undefined ? match[2]!.toLowerCase() : match[1].replaceAll('""', '"'));
    if (match[3] === '') return parts;
  }
  return undefined;
}
