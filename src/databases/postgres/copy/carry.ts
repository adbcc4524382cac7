import type { Facts, Privilege, Setting } from '../../../core/database/facts.ts';
import { quoteIdentifier, quoteLiteral } from '../../../util/sql.ts';

/**
 * Statements that give `name` everything of blue that `CREATE DATABASE … TEMPLATE` leaves behind: privileges,
 * connection limit, settings for all roles and per role. The comment follows at the switch, because until then
 * the copy carries the run's mark there.
 */
export function carryStatements(blue: Facts['blue'], name: string): string[] {
  const database = quoteIdentifier(name);
  const statements = privilegeStatements(database, blue.owner, blue.privileges);
  if (blue.connectionLimit !== -1) {
    statements.push(`ALTER DATABASE ${database} WITH CONNECTION LIMIT ${blue.connectionLimit}`);
  }
  for (const setting of blue.settings)
    if (!isUnseen(setting)) statements.push(settingStatement(name, setting));
  return statements;
}

/** PostgreSQL's own settings are no secrets; what an application keeps under a prefix of its own may well be one. */
export const isUnseen = ({ name }: Pick<Setting, 'name'>): boolean => name.includes('.');

function privilegeStatements(
  database: string,
  owner: string,
  privileges: readonly Privilege[] | undefined,
): string[] {
  if (privileges === undefined) return [];
  const statements = [
    `REVOKE ALL ON DATABASE ${database} FROM PUBLIC`,
    `REVOKE ALL ON DATABASE ${database} FROM ${quoteIdentifier(owner)}`,
  ];
  for (const { grantee, grantor, privilege, grantable } of inOrderOfGrants(owner, privileges)) {
    const to = grantee === '' ? 'PUBLIC' : quoteIdentifier(grantee);
    const grant = `GRANT ${privilege} ON DATABASE ${database} TO ${to}${grantable ? ' WITH GRANT OPTION' : ''}`;
    if (grantor === owner) statements.push(grant);
    else statements.push(`SET ROLE ${quoteIdentifier(grantor)}; ${grant}; RESET ROLE`);
  }
  return statements;
}

// A grant that rests on somebody's grant option must come after it: a server would only warn and leave it out.
function inOrderOfGrants(owner: string, privileges: readonly Privilege[]): Privilege[] {
  const ordered: Privilege[] = [];
  let rest = [...privileges];
  while (rest.length > 0) {
    const rests = ({ grantor, privilege }: Privilege): boolean =>
      grantor === owner ||
      ordered.some((own) => own.grantee === grantor && own.privilege === privilege && own.grantable);
    const next = rest.filter(rests);
    // Nobody's grant is left hanging by the server itself; if it ever were, it is still tried.
    ordered.push(...(next.length > 0 ? next : rest));
    rest = next.length > 0 ? rest.filter((privilege) => !next.includes(privilege)) : [];
  }
  return ordered;
}

// Their stored value is a list of quoted names already; one string constant around it would make it a single name.
const LISTS = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

export function settingStatement(copy: string, { role, name, value }: Setting): string {
  const database = quoteIdentifier(copy);
  const target =
    role === '' ? `DATABASE ${database}` : `ROLE ${quoteIdentifier(role)} IN DATABASE ${database}`;
  const values = LISTS.has(name.toLowerCase())
    ? splitList(value, { fold: !name.endsWith('_libraries') })
        .map(quoteLiteral)
        .join(', ')
    : quoteLiteral(value);
  return `ALTER ${target} SET ${name.split('.').map(quoteIdentifier).join('.')} TO ${values === '' ? "''" : values}`;
}

/**
 * Elements of a stored list setting: names, double-quoted where needed, with commas between them. Names of SQL objects
 * fold to lower case unless they are quoted (`SET … FROM CURRENT` stores them as somebody wrote them).
 */
export function splitList(value: string, { fold }: { fold: boolean }): string[] {
  const elements: string[] = [];
  for (const match of value.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^,"\s]+))\s*(?:,|$)/g)) {
    elements.push(
      match[1] === undefined ? (fold ? match[2]!.toLowerCase() : match[2]!) : match[1].replaceAll('""', '"'),
    );
  }
  return elements;
}
