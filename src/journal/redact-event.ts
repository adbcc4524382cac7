import { redactDeep } from '../util/redact.ts';

/**
 * What a run is executed and gone back from: names, references instead of secrets, and figures of the servers. A
 * password that happens to be an ordinary word must not turn a database's name or its comment into stars.
 */
const LITERAL: ReadonlySet<string> = new Set(
  (
    'run type step id kind phase outcome database at ' +
    'names source playbook server blue expect migrate verify targets notify input fingerprint ' +
    'baseline live previous'
  ).split(' '),
);

/** An event or a plan without secrets. */
export const withoutSecrets = <T>(value: T): T => redactDeep(value, LITERAL);
