/** `$${`, `${NAME}`, `${NAME:-default}`, or a `${` that is none of them. */
export const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^}$]|\$(?!\{))*))?\}|\$\{/g;

/** Three characters that are never text, so that a reference's braces can hide behind them. */
const [DOLLAR, OPEN, CLOSE] = ['\uFDD0', '\uFDD1', '\uFDD2'];
const MASKED = /[\uFDD0-\uFDD2]/g;

/** Lets `{ admin: ${URL} }` be YAML, where a brace ends an unquoted value. Nothing moves: offsets stay as they are. */
export const maskReferences = (text: string): string =>
  text.replace(REFERENCE, (whole, name: string | undefined) =>
    name === undefined ? whole : `${DOLLAR}${OPEN}${whole.slice(2, -1)}${CLOSE}`,
  );

export const unmaskReferences = (text: string): string =>
  text.replace(MASKED, (sign) => (sign === DOLLAR ? '$' : sign === OPEN ? '{' : '}'));
