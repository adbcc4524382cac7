import type { Facts } from '../../core/database/facts.ts';
import { quoteIdentifier } from '../../util/sql.ts';
import { finding, type Condition } from './condition.ts';

/** One thing that the connecting role must be able to do. */
interface Right {
  /** What it lacks, as a list; an empty list with `message` is a lack without particulars; undefined is fine. */
  lacking(facts: Facts): readonly string[] | undefined;
  message(facts: Facts): string;
  /** `name` is the role, quoted. */
  hint(name: string, facts: Facts): string;
}

const when = (lacks: boolean, list: readonly string[] = []): readonly string[] | undefined =>
  lacks ? list : undefined;
const some = (list: readonly string[]): readonly string[] | undefined => when(list.length > 0, list);

const RIGHTS: readonly Right[] = [
  {
    lacking: ({ role }) => when(!role.createDatabase),
    message: ({ role }) => `role ${role.name} may not create databases`,
    hint: (name) => `ALTER ROLE ${name} CREATEDB`,
  },
  {
    lacking: ({ role }) => when(!role.ownsBlue),
    message: ({ role, blue }) => `role ${role.name} may not act as ${blue.owner}, the owner of ${blue.name}`,
    hint: (name, { blue }) => `GRANT ${quoteIdentifier(blue.owner)} TO ${name}`,
  },
  {
    lacking: ({ role }) => when(!role.canSignal),
    message: ({ role }) => `role ${role.name} may not end the sessions of other roles`,
    hint: (name) => `GRANT pg_signal_backend TO ${name}`,
  },
  {
    lacking: ({ role, sessions }) =>
      role.superuser
        ? undefined
        : some(
            sessions.filter(({ superuser }) => superuser).map(({ pid, user }) => `pid ${pid} user=${user}`),
          ),
    message: ({ role, blue }) => `role ${role.name} may not end the sessions of superusers on ${blue.name}`,
    hint: () => 'let them disconnect, or connect as a superuser',
  },
  {
    lacking: ({ role, blue }) =>
      role.createRole
        ? undefined
        : some(
            blue.settings
              .filter((setting) => setting.role !== '' && setting.role !== role.name)
              .map((setting) => `${setting.role}: ${setting.name}`),
          ),
    message: ({ role, blue }) =>
      `role ${role.name} may not carry over the settings of other roles in ${blue.name}`,
    hint: (name) => `connect as a superuser, or ALTER ROLE ${name} CREATEROLE`,
  },
  {
    lacking: ({ role, blue }) =>
      role.superuser
        ? undefined
        : some(blue.settings.filter(({ restricted }) => restricted).map((setting) => setting.name)),
    message: ({ role, blue }) =>
      `role ${role.name} may not carry over settings of ${blue.name} that only a superuser may set`,
    hint: () => 'connect as a superuser, or ALTER DATABASE … RESET them',
  },
  {
    lacking: ({ objects }) => some(objects.unreadable),
    message: ({ role, blue }) => `role ${role.name} may not read everything in ${blue.name}`,
    hint: (name) => `GRANT pg_read_all_data TO ${name}`,
  },
  {
    lacking: ({ role, objects }) => (role.bypassRls ? undefined : some(objects.rowSecurity)),
    message: ({ role }) => `row-level security would hide rows from role ${role.name}`,
    hint: (name) => `ALTER ROLE ${name} BYPASSRLS`,
  },
];

/** What the connecting role may do. */
export const rights: Condition = (facts) =>
  RIGHTS.flatMap((right) => {
    const list = right.lacking(facts);
    if (list === undefined) return [];
    const hint = right.hint(quoteIdentifier(facts.role.name), facts);
    return [
      finding('rights', 'failure', right.message(facts), { hint, ...(list.length > 0 ? { list } : {}) }),
    ];
  });
