import type { Finding } from '../../core/drivers/check.ts';
import type { Facts } from '../../core/database/facts.ts';
import { quoteIdentifier } from '../../util/sql.ts';
import { finding, type Condition } from './condition.ts';

const NAME_BYTES = 63;
/** Where the tool connects to while blue is closed. */
const MAINTENANCE = new Set(['postgres', 'template0', 'template1']);

/** The names that the run needs, and what earlier runs left. */
export const names: Condition = (facts, plan) => {
  const wanted = new Map([['green', plan.names.green]]);
  if (plan.renames) wanted.set('previous', plan.names.previous);
  const findings: Finding[] = [];
  for (const [use, name] of wanted) {
    const bytes = Buffer.byteLength(name);
    if (bytes > NAME_BYTES) {
      findings.push(
        finding('names', 'failure', `${name} has ${bytes} bytes; a database name has ${NAME_BYTES} at most`, {
          hint: rename(use),
        }),
      );
    }
    // The copy's name is wanted on its own server.
    const { live } = facts;
    const databases = use === 'green' && live ? live.servers.green.databases : facts.databases;
    const taken = databases.find((database) => database.name === name);
    if (taken) findings.push(takenBy(taken, use));
  }
  if (plan.renames && plan.names.green === plan.names.previous) {
    findings.push(
      finding(
        'names',
        'failure',
        `${plan.names.green} is both the name of the copy and blue's name after the switch`,
        {
          hint: rename('previous'),
        },
      ),
    );
  }
  if (MAINTENANCE.has(facts.blue.name)) {
    findings.push(
      finding(
        'names',
        'failure',
        `${facts.blue.name} is the database from which this tool works on the others`,
        {
          hint: 'move the application to a database of its own',
        },
      ),
    );
  }
  if (facts.blue.isTemplate) {
    findings.push(
      finding('names', 'failure', `${facts.blue.name} is marked as a template, which the copy would not be`, {
        hint: `ALTER DATABASE ${quoteIdentifier(facts.blue.name)} WITH IS_TEMPLATE false`,
      }),
    );
  }
  return [...findings, ...leftovers(facts, [...wanted.values()])];
};

const rename = (use: string): string =>
  use === 'green'
    ? 'choose another name in the playbook: green: NAME'
    : 'choose another name in the playbook: database-rename: { previous: NAME }';

function takenBy({ name, mark }: Facts['databases'][number], use: string): Finding {
  if (!mark) {
    return finding(
      'names',
      'failure',
      `there is a database ${name} already, and no run of this tool made it`,
      {
        hint: rename(use),
      },
    );
  }
  return mark.as === 'copy'
    ? finding('names', 'failure', `database ${name} is the copy of run ${mark.run}, which has not finished`, {
        hint: `cutover abort ${mark.run}`,
      })
    : finding('names', 'failure', `database ${name} is the previous copy that run ${mark.run} keeps`, {
        hint: `go back to it: cutover swap-back ${mark.run}; or drop it: cutover retire ${mark.run}`,
      });
}

function leftovers(facts: Facts, wanted: readonly string[]): Finding[] {
  return facts.databases
    .filter(
      ({ name, mark }) =>
        !wanted.includes(name) && (mark?.as === 'copy' || /^cutover_\d{8}-\d{6}-/.test(name)),
    )
    .map(({ name, mark }) => {
      const run = mark?.run ?? name.replace('cutover_', '');
      return finding('leftovers', 'warning', `database ${name} was left by run ${run}`, {
        hint: `cutover abort ${run}`,
      });
    });
}
