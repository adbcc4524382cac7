import { UsageError } from '../../core/errors.ts';
import { holdsPassword } from '../../playbook/values/secrets.ts';
import { addSecretsOfUrl } from '../../util/redact.ts';

/** A connection string from the command line, its references resolved. Throws UsageError when it holds a password itself. */
export function givenUrl(given: string, resolve: (text: string) => string): string {
  if (holdsPassword(given))
    throw new UsageError('everybody on the machine can read what stands on the command line', {
      hint: `put the connection string into a variable, and give a reference to it in single quotes: '\${BLUE_URL}'; or leave the password to .pgpass`,
    });
  const url = resolve(given);
  addSecretsOfUrl(url);
  return url;
}
