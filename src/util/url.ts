const SHAPE = /^([a-z][a-z0-9+.-]*:\/\/[^/?#]*)(?:\/([^?#]*))?(.*)$/is;

/** The same connection string, for another database; everything else stays to the letter. */
export function withDatabase(url: string, database: string): string {
  const match = SHAPE.exec(url);
  if (!match) throw new TypeError('not a connection string');
  // encodeURIComponent leaves ' ( ) ! * alone, which a quoted value in a file or a shell would trip over.
  const encoded = encodeURIComponent(database).replaceAll(
    /['()!*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${match[1]}/${encoded}${match[3]}`;
}

/** Name of the database in a connection string; undefined when it names none or is none. */
export function databaseOf(url: string): string | undefined {
  const path = SHAPE.exec(url)?.[2];
  if (!path) return undefined;
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

/** SQLAlchemy and others name their driver in the scheme (`postgresql+psycopg2://`); PostgreSQL does not know it. */
export const withoutDriver = (url: string): string => url.replace(/^(postgres(?:ql)?)\+[a-z0-9_]+:/i, '$1:');
