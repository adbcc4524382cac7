import { REFERENCE } from '../../core/text/references.ts';
import { addSecret, addSecretsOfUrl } from '../../util/redact.ts';

/** Names and values that `${NAME}` may refer to; looked up as own properties only. */
export type Variables = Readonly<Record<string, string>>;

export interface Interpolation {
  readonly text: string;
  /** What went into the text, defaults included. */
  readonly used: readonly { readonly name: string; readonly value: string }[];
  /** `index` is where the `${` stands in the text that was given. */
  readonly faults: readonly { readonly index: number; readonly message: string }[];
}

/**
 * Puts values in for `${NAME}` and `${NAME:-default}` (which also stands in for an empty value); `$${` gives `${`.
 * Values are not looked into again. A reference that has no value stays as it is, and is a fault.
 */
export function interpolate(text: string, variables: Variables): Interpolation {
  const used: { name: string; value: string }[] = [];
  const faults: { index: number; message: string }[] = [];
  const result = text.replace(
    REFERENCE,
    (whole, name: string | undefined, fallback: string | undefined, index: number) => {
      if (whole === '$${') return '${';
      if (name === undefined) {
        faults.push({ index, message: 'write ${NAME} or ${NAME:-default}, or $${ for a plain ${' });
        return whole;
      }
      const set = Object.hasOwn(variables, name) ? variables[name] : undefined;
      const value = fallback === undefined ? set : set || fallback;
      if (value === undefined) {
        faults.push({ index, message: `${name} is not set; set it in the environment or --env-file` });
        return whole;
      }
      used.push({ name, value });
      return value;
    },
  );
  return { text: result, used, faults };
}

/** What a text says by itself: references give nothing, but their defaults count. */
export const literalOf = (text: string): string =>
  text.replace(REFERENCE, (whole, _name: unknown, fallback: string | undefined) =>
    whole === '$${' ? '${' : (fallback ?? ''),
  );

export const hasReference = (text: string): boolean => /(^|[^$])\$\{/.test(text);

const SECRET_NAME = /PASS|SECRET|TOKEN|KEY|URL|DSN/i;
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//i;

/**
 * Sees to it that what was put in is blotted out of everything printed, if it is a secret by its place or its name.
 * Of a connection string that is the password: host and database must stay readable.
 */
export function registerSecrets({ text, used }: Interpolation, secretPlace: boolean): void {
  for (const { name, value } of used)
    if (SECRET_NAME.test(name) || (secretPlace && !SCHEME.test(text))) register(value);
  register(text, secretPlace && used.length > 0);
}

function register(value: string, whole = true): void {
  const scheme = SCHEME.exec(value)?.[1]?.toLowerCase();
  addSecretsOfUrl(value);
  const password = /\bpassword\s*=\s*(?:'([^']*)'|([^\s&'"]+))/i.exec(value);
  addSecret(password?.[1] ?? password?.[2]);
  if (whole && (scheme === undefined || scheme.startsWith('http')) && password === null) addSecret(value);
}
