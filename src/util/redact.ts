const secrets = new Set<string>();

/** From now on this text is blotted out of everything that is printed or stored. */
export function addSecret(secret: string | undefined): void {
  if (!secret || secret.length < 3) return;
  secrets.add(secret);
  secrets.add(encodeURIComponent(secret));
}

/**
 * Registers the password of a connection string, however it is written there. A password that is also the user, the
 * host or the database in the same string is known to whoever reads those: blotting it out would only spoil every
 * line that names them. Inside connection strings it is blotted out all the same.
 */
export function addSecretsOfUrl(url: string): void {
  const parts = /^[\w+.-]+:\/\/([^:@/?#]*):([^@/?#]*)@([^:/?#]*)[^/?#]*(?:\/([^?#]*))?/.exec(url);
  const raw = parts?.[2];
  const inQuery = /[?&]password=([^&#]*)/i.exec(url)?.[1];
  for (const secret of [raw, inQuery]) {
    if (!secret || [parts?.[1], parts?.[3], parts?.[4]].includes(secret)) continue;
    addSecret(secret);
    try {
      addSecret(decodeURIComponent(secret));
    } catch {
      // Not percent-encoded after all: the raw form is registered already.
    }
  }
}

/** Blots out every registered secret, and whatever looks like a password in a connection string. */
export function redact(text: string): string {
  let result = text;
  for (const secret of [...secrets].sort((a, b) => b.length - a.length))
    result = result.replaceAll(secret, '***');
  return result
    .replace(/([a-z][\w+.-]*:\/\/[^\s:@/?#]*):[^\s@/?#]+@/gi, '$1:***@')
    .replace(/\b(password|passwd|pgpassword)(\s*=\s*)('[^']*'|[^\s&'"]+)/gi, '$1$2***');
}

/** Redacts every string in a value that is about to be stored as JSON, except below the keys that stay to the letter. */
export function redactDeep<T>(value: T, literal: ReadonlySet<string> = new Set()): T {
  if (typeof value === 'string') return redact(value) as T;
  if (Array.isArray(value)) return value.map((entry: unknown) => redactDeep(entry, literal)) as T;
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [
        key,
        literal.has(key) ? (entry as unknown) : redactDeep(entry as unknown, literal),
      ]),
    ) as T;
  }
  return value;
}
