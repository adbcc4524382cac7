/** A connection string in whatever form, or a text with one in it. */
const LEADS = /postgres(?:ql)?(?:\+\w+)?:\/\/|(?:^|\s)(?:host|hostaddr|dbname|service)\s*=/i;

/** The variables that do not say where a database is. */
export const harmless = (variables: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).filter(([name, value]) => !name.startsWith('PG') && !LEADS.test(value)),
  );
