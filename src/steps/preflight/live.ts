import type { Finding } from '../../core/drivers/check.ts';
import type { Facts } from '../../core/database/facts.ts';
import type { LiveFacts, ServerFacts } from '../../core/database/live-facts.ts';
import type { LivePlan, Plan } from '../../core/plan.ts';
import { formatDuration, plural } from '../../util/units.ts';
import { tables } from './live-tables.ts';
import { finding, type Condition } from './condition.ts';

/** Below this a busy minute ends the connection of a follower. */
const SENDER_TIMEOUT_MS = 60_000;
const MANY_SEQUENCES = 1000;

/** Whether blue can be followed, and green later. */
export const live: Condition = (facts, plan) =>
  plan.live && facts.live
    ? [
        ...servers(facts.live, plan.live),
        ...tables(facts.live, plan.live),
        ...held(plan.live),
        ...tools(facts.live, plan.live),
        ...objects(facts),
        ...statements(facts.live, plan.bake),
      ]
    : [];

function servers(live: LiveFacts, plan: LivePlan): Finding[] {
  const { blue, green } = live.servers;
  const each: [string, ServerFacts][] = live.together
    ? [['the server', blue]]
    : [
        ["blue's server", blue],
        ["green's server", green],
      ];
  const findings = each.flatMap(([name, server]) => conditionsOf(name, server, live.together ? 2 : 1));
  if (green.major < blue.major) {
    findings.push(
      finding(
        'version',
        'failure',
        `green's server is PostgreSQL ${green.version}, older than blue's ${blue.version}`,
      ),
    );
  }
  for (const { from, to, problem } of live.unreachable) {
    findings.push(
      finding(
        'replication',
        'failure',
        `${to}'s server cannot connect to ${from} as a subscription: ${problem}`,
        {
          hint: "the host and port of the playbook's connection string must lead there from the other server too, and pg_hba.conf must let it in",
        },
      ),
    );
  }
  if (!live.together)
    findings.push(
      ...missing('role', live.roles, green.roles),
      ...missing('extension', live.extensions, green.extensions),
    );
  if (live.leftBy !== undefined) {
    findings.push(
      finding('leftovers', 'failure', `blue is followed by run ${live.leftBy}, which has not finished`, {
        hint: `cutover abort ${live.leftBy}; or, when it is completed: cutover retire ${live.leftBy}`,
      }),
    );
  }
  if (plan.follow.tables.length === 0)
    findings.push(finding('tables', 'warning', 'blue has no table to follow'));
  return findings;
}

function conditionsOf(name: string, server: ServerFacts, needed: number): Finding[] {
  const findings: Finding[] = [];
  const lacks = (setting: string, free: number, what: string): void => {
    if (free < needed)
      findings.push(
        finding('replication', 'failure', `${name} has ${free} free ${what}, and ${needed} are needed`, {
          hint: `ALTER SYSTEM SET ${setting} = …, and restart the server`,
        }),
      );
  };
  if (server.walLevel !== 'logical') {
    findings.push(
      finding('replication', 'failure', `wal_level of ${name} is ${server.walLevel}, not logical`, {
        hint: 'ALTER SYSTEM SET wal_level = logical, and restart the server',
      }),
    );
  }
  lacks('max_replication_slots', server.freeSlots, 'replication slots');
  lacks('max_wal_senders', server.freeSenders, 'WAL senders');
  lacks('max_logical_replication_workers', server.freeWorkers, 'workers for logical replication');
  lacks(
    server.major >= 18 ? 'max_active_replication_origins' : 'max_replication_slots',
    server.freeOrigins,
    'replication origins',
  );
  if (!server.superuser) {
    findings.push(
      finding(
        'rights',
        'failure',
        `role ${server.role} on ${name} is no superuser, which a fence and a subscription both ways need`,
        {
          hint: 'connect as a superuser',
        },
      ),
    );
  }
  if (server.walSenderTimeout > 0 && server.walSenderTimeout < SENDER_TIMEOUT_MS) {
    findings.push(
      finding(
        'replication',
        'warning',
        `wal_sender_timeout of ${name} is ${formatDuration(server.walSenderTimeout)}: a busy follower may be cut off`,
        {
          hint: 'ALTER SYSTEM SET wal_sender_timeout = 60000',
        },
      ),
    );
  }
  if (server.slotKeep !== '-1') {
    findings.push(
      finding(
        'replication',
        'warning',
        `max_slot_wal_keep_size of ${name} is ${server.slotKeep}: beyond it the follower is lost`,
      ),
    );
  }
  return findings;
}

function missing(what: string, needed: readonly string[], there: readonly string[]): Finding[] {
  const list = needed.filter((name) => !there.includes(name));
  if (list.length === 0) return [];
  return [
    finding(
      `${what}s`,
      'failure',
      `green's server lacks ${plural(list.length, what)} that blue's objects need`,
      {
        list,
        hint:
          what === 'role'
            ? 'CREATE ROLE … there first (pg_dumpall --roles-only)'
            : "install its package on green's server",
      },
    ),
  ];
}

/** A dump by older programs than the server is refused by them, in the middle of the run. */
function tools({ tools, servers }: LiveFacts, { clone }: LivePlan): Finding[] {
  if (clone.method !== 'dump') return [];
  const hint = "install PostgreSQL's client programs, or say where they are: --tools DIR";
  return tools.flatMap(({ name, major, problem }) => {
    if (problem !== undefined) return [finding('programs', 'failure', problem, { hint })];
    if (major! >= servers.blue.major) return [];
    return [
      finding(
        'programs',
        'failure',
        `${name} is of version ${major}, older than blue's server (${servers.blue.version})`,
        {
          hint,
        },
      ),
    ];
  });
}

/** A bake that cannot ask what it is to ask would lead back from a green that is well. */
function statements({ servers, extensions }: LiveFacts, bake: Plan['bake']): Finding[] {
  if (!bake.some(({ driver }) => driver === 'statements')) return [];
  const hint = 'install it; or leave the check statements out of the bake';
  const loaded = (['blue', 'green'] as const).flatMap((side) =>
    servers[side].statements ? [] : [`pg_stat_statements is not loaded on ${side}'s server`],
  );
  const made = extensions.includes('pg_stat_statements')
    ? []
    : ['the extension pg_stat_statements is not in blue'];
  return [...new Set([...loaded, ...made])].map((problem) => finding('bake', 'failure', problem, { hint }));
}

/** A template clone holds clients for as long as it takes. */
function held({ clone }: LivePlan): Finding[] {
  if (clone.method === 'dump' || clone.estimateMs <= clone.pause) return [];
  return [
    finding(
      'pause',
      'failure',
      `the template clone would hold clients for about ${formatDuration(clone.estimateMs)}, and ${formatDuration(clone.pause)} are allowed`,
      { hint: 'copy without holding anybody: clone: { method: dump }; or allow more: clone: { pause: … }' },
    ),
  ];
}

function objects({ objects, live }: Facts): Finding[] {
  const findings: Finding[] = [];
  if (objects.largeObjects > 0) {
    findings.push(
      finding(
        'large objects',
        'failure',
        `${plural(objects.largeObjects, 'large object')} on blue: replication does not carry them`,
        {
          hint: 'sync: none; or move them into a bytea column',
        },
      ),
    );
  }
  const sequences = live?.sequences ?? 0;
  if (sequences > MANY_SEQUENCES) {
    findings.push(
      finding(
        'sequences',
        'warning',
        `${plural(sequences, 'sequence')} are read and set while clients are held`,
      ),
    );
  }
  return findings;
}
