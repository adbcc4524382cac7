import type { Finding, Severity } from '../../core/drivers/check.ts';
import type { Facts } from '../../core/database/facts.ts';
import { plural } from '../../util/units.ts';
import { finding, type Condition } from './condition.ts';

interface Concern {
  readonly of: Exclude<keyof Facts['objects'], 'largeObjects' | 'rowSecurity' | 'unreadable'>;
  readonly check: string;
  readonly severity: Severity;
  readonly noun: string;
  readonly consequence: string;
  readonly hint?: string;
}

/** What blue holds that a template clone or a rename cannot take along, or that deserves a look. */
const CONCERNS: readonly Concern[] = [
  {
    of: 'preparedTransactions',
    check: 'prepared transactions',
    severity: 'failure',
    noun: 'prepared transaction',
    consequence: 'a clone and a rename wait for them in vain',
    hint: 'COMMIT PREPARED or ROLLBACK PREPARED them',
  },
  {
    of: 'subscriptions',
    check: 'replication',
    severity: 'failure',
    noun: 'subscription',
    consequence: 'the copy would not have them, and blue must have no apply worker',
    hint: 'DROP SUBSCRIPTION, and create it again after the cutover',
  },
  {
    of: 'logicalSlots',
    check: 'replication',
    severity: 'failure',
    noun: 'logical replication slot',
    consequence:
      'a slot stays with the old database, and its consumers would follow a database that is not live',
    hint: "SELECT pg_drop_replication_slot('…'), and set the consumer up again after the cutover",
  },
  {
    of: 'publications',
    check: 'replication',
    severity: 'warning',
    noun: 'publication',
    consequence: 'the copy has them too, but no subscriber will follow it by itself',
  },
  {
    of: 'unlogged',
    check: 'unlogged tables',
    severity: 'note',
    noun: 'unlogged table',
    consequence: 'copied like the others',
  },
  {
    of: 'materializedViews',
    check: 'materialised views',
    severity: 'note',
    noun: 'materialised view',
    consequence: 'copied with the rows that they hold; refresh them in a migration if they must follow it',
  },
  {
    of: 'eventTriggers',
    check: 'event triggers',
    severity: 'warning',
    noun: 'event trigger',
    consequence: 'they fire on the copy when the migrations run',
  },
  {
    of: 'foreignServers',
    check: 'by name',
    severity: 'warning',
    noun: 'foreign server',
    consequence: 'look whether one of them points at this database by its name',
  },
  {
    of: 'backgroundExtensions',
    check: 'by name',
    severity: 'warning',
    noun: 'extension',
    consequence: 'their jobs may find the database by its name',
  },
  {
    of: 'invalidIndexes',
    check: 'already invalid',
    severity: 'warning',
    noun: 'invalid index',
    consequence: 'it was so on blue before; REINDEX it some day',
  },
  {
    of: 'notValidConstraints',
    check: 'already invalid',
    severity: 'warning',
    noun: 'constraint NOT VALID',
    consequence: 'it was so on blue before',
  },
];

export const objects: Condition = (facts) => {
  const findings: Finding[] = [];
  for (const { of, check, severity, noun, consequence, hint } of CONCERNS) {
    const list = facts.objects[of];
    if (list.length === 0) continue;
    const many =
      noun === 'invalid index'
        ? 'invalid indexes'
        : noun === 'constraint NOT VALID'
          ? 'constraints NOT VALID'
          : `${noun}s`;
    findings.push(
      finding(check, severity, `${plural(list.length, noun, many)} on blue: ${consequence}`, {
        list,
        ...(hint === undefined ? {} : { hint }),
      }),
    );
  }
  if (facts.objects.largeObjects > 0) {
    findings.push(
      finding(
        'large objects',
        'note',
        `${plural(facts.objects.largeObjects, 'large object')} on blue: copied like the rest`,
      ),
    );
  }
  return findings;
};
