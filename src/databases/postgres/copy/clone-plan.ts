import type { ClonePlan } from '../../../core/database/clone.ts';
import type { Facts } from '../../../core/database/facts.ts';
import type { Estimate } from '../../../util/units.ts';
import type { CloneOptions } from '../../../core/playbook.ts';
import { formatBytes, formatCount } from '../../../util/units.ts';
import { quoteIdentifier, quoteLiteral } from '../../../util/sql.ts';
import { carryStatements, isUnseen } from './carry.ts';
import { interimName } from './mark.ts';

// Measured on two cores and an SSD with PostgreSQL 15: 1.5 GB and 5,000 tables, both ways.
const WAL_LOG_BYTES_PER_MS = 310_000;
const FILE_COPY_BYTES_PER_MS = 1_900_000;
const WAL_LOG_MS_PER_RELATION = 0.45;
const FILE_COPY_MS_PER_RELATION = 2;
const FIXED_MS = 150;

/** Measured likewise, with pg_dump | pg_restore of indexed tables. */
const DUMP_BYTES_PER_MS = 110_000;
const DUMP_MS_PER_RELATION = 6;

export interface CloneChoice {
  readonly strategy: 'wal-log' | 'file-copy' | 'dump';
  readonly reason: string;
  readonly estimate: Estimate;
}

/** The faster of the two ways in which a server copies a template: a few large relations or many small ones decide it. */
export function chooseStrategy(facts: Facts, { method, strategy: wanted }: CloneOptions): CloneChoice {
  const { bytes, relations } = facts.blue;
  const instant = facts.server.fileCopyMethod === 'clone';
  const walLog = FIXED_MS + bytes / WAL_LOG_BYTES_PER_MS + relations * WAL_LOG_MS_PER_RELATION;
  const fileCopy =
    FIXED_MS + (instant ? 0 : bytes / FILE_COPY_BYTES_PER_MS) + relations * FILE_COPY_MS_PER_RELATION;
  const what = `${formatBytes(bytes)} in ${formatCount(relations)} relations`;
  if (method === 'dump') {
    return {
      strategy: 'dump',
      reason: 'it goes from server to server, and nobody is held',
      estimate: {
        ms: Math.round(FIXED_MS + bytes / DUMP_BYTES_PER_MS + relations * DUMP_MS_PER_RELATION),
        basis: `${what}, at the speed measured on a small machine`,
      },
    };
  }
  const choose = (strategy: CloneChoice['strategy'], reason: string): CloneChoice => ({
    strategy,
    reason,
    estimate: {
      ms: Math.round(strategy === 'wal-log' ? walLog : fileCopy),
      basis: `${what}, at the speed measured on a small machine`,
    },
  });
  if (facts.server.major < 15) return choose('file-copy', 'PostgreSQL 14 has no other way');
  if (wanted !== 'auto') return choose(wanted, 'the playbook says so');
  return walLog <= fileCopy
    ? choose('wal-log', `${what}: copying through the WAL is faster for many small relations`)
    : choose('file-copy', `${what}: copying files is faster for few large relations`);
}

/** The statements of the clone. Pure: what this gives is printed in the plan and executed as it is. */
export function planClone(facts: Facts, green: string, run: string, choice: CloneChoice): ClonePlan {
  const interim = interimName(run);
  const { name, owner } = facts.blue;
  const carry = {
    carry: carryStatements(facts.blue, green),
    unseen: facts.blue.settings.filter(isUnseen).map(({ role, name: setting }) => ({ role, name: setting })),
  };
  if (choice.strategy === 'dump')
    return {
      from: name,
      interim,
      name: green,
      create: createEmpty(facts, interim),
      way: choice.strategy,
      ...carry,
    };
  const strategy =
    facts.server.major < 15 ? '' : ` STRATEGY ${choice.strategy === 'wal-log' ? 'wal_log' : 'file_copy'}`;
  return {
    from: name,
    interim,
    name: green,
    create:
      `CREATE DATABASE ${quoteIdentifier(interim)} WITH TEMPLATE ${quoteIdentifier(name)} ` +
      `OWNER ${quoteIdentifier(owner)}${strategy}`,
    way: choice.strategy,
    ...carry,
  };
}

/** An empty database that sorts and compares as blue does. */
function createEmpty({ blue }: Facts, name: string): string {
  const { encoding, collate, ctype, provider, locale } = blue.locale;
  const parts = [
    'TEMPLATE template0',
    `OWNER ${quoteIdentifier(blue.owner)}`,
    `ENCODING ${quoteLiteral(encoding)}`,
    `LC_COLLATE ${quoteLiteral(collate)} LC_CTYPE ${quoteLiteral(ctype)}`,
    ...(provider === 'icu' && locale !== undefined
      ? [`LOCALE_PROVIDER icu ICU_LOCALE ${quoteLiteral(locale)}`]
      : []),
    ...(provider === 'builtin' && locale !== undefined
      ? [`LOCALE_PROVIDER builtin BUILTIN_LOCALE ${quoteLiteral(locale)}`]
      : []),
  ];
  return `CREATE DATABASE ${quoteIdentifier(name)} WITH ${parts.join(' ')}`;
}
