import type { Finding } from '../../core/check.ts';
import { quoteIdentifier } from '../../util/sql.ts';
import { finding, type Condition } from './condition.ts';

/** What the connecting role may do. */
export const rights: Condition = (facts) => {
  const findings: Finding[] = [];
  const { role, blue } = facts;
  const name = quoteIdentifier(role.name);
  if (!role.createDatabase) {
    findings.push(
      finding('rights', 'failure', `role ${role.name} may not create databases`, {
        hint: `ALTER ROLE ${name} CREATEDB`,
      }),
    );
  }
  if (!role.ownsBlue) {
    findings.push(
      finding(
        'rights',
        'failure',
        `role ${role.name} may not act as ${blue.owner}, the owner of ${blue.name}`,
        {
          hint: `GRANT ${quoteIdentifier(blue.owner)} TO ${name}`,
        },
      ),
    );
  }
  if (!role.canSignal) {
    findings.push(
      finding('rights', 'failure', `role ${role.name} may not end the sessions of other roles`, {
        hint: `GRANT pg_signal_backend TO ${name}`,
      }),
    );
  }
  const perRole = blue.settings.filter((setting) => setting.role !== '' && setting.role !== role.name);
  if (perRole.length > 0 && !role.createRole) {
    findings.push(
      finding(
        'rights',
        'failure',
        `role ${role.name} may not carry over the settings of other roles in ${blue.name}`,
        {
          hint: `connect as a superuser, or ALTER ROLE ${name} CREATEROLE`,
          list: perRole.map((setting) => `${setting.role}: ${setting.name}`),
        },
      ),
    );
  }
  const restricted = blue.settings.filter((setting) => setting.restricted);
  if (restricted.length > 0 && !role.superuser) {
    findings.push(
      finding(
        'rights',
        'failure',
        `role ${role.name} may not carry over settings of ${blue.name} that only a superuser may set`,
        {
          hint: 'connect as a superuser, or ALTER DATABASE … RESET them',
          list: restricted.map((setting) => setting.name),
        },
      ),
    );
  }
  const untouchable = facts.sessions.filter((session) => session.superuser);
  if (untouchable.length > 0 && !role.superuser) {
    findings.push(
      finding(
        'rights',
        'failure',
        `role ${role.name} may not end the sessions of superusers on ${blue.name}`,
        {
          hint: 'let them disconnect, or connect as a superuser',
          list: untouchable.map(({ pid, user }) => `pid ${pid} user=${user}`),
        },
      ),
    );
  }
  if (facts.objects.unreadable.length > 0) {
    findings.push(
      finding('rights', 'failure', `role ${role.name} may not read everything in ${blue.name}`, {
        hint: `GRANT pg_read_all_data TO ${name}`,
        list: facts.objects.unreadable,
      }),
    );
  }
  if (facts.objects.rowSecurity.length > 0 && !role.bypassRls) {
    findings.push(
      finding('rights', 'failure', `row-level security would hide rows from role ${role.name}`, {
        hint: `ALTER ROLE ${name} BYPASSRLS`,
        list: facts.objects.rowSecurity,
      }),
    );
  }
  return findings;
};
