import ava from 'ava';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { workplace } from './helpers/cli.ts';
import { isInstalled } from './helpers/installed.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { majors } from './helpers/postgres.ts';
import { assertKept, CLOSED, fixture, LIVE, playbook } from './helpers/rehearsal.ts';

const pgDump = await findTool('pg_dump', undefined).catch(() => undefined);

// One after the other: clients write all the time, and the machine is small.
const test = ava.serial;

const PUT_BACK = /^everything was put back, and the next run came through .*none lost, none doubled; /;

test('a name that is taken: everything is put back, and the next run comes through', async (t) => {
  const work = await workplace(t);
  const faults = 'refuse@preflight,refuse@fence,refuse@keep';
  const outcome = await work.cutover(['rehearse', playbook('quickstart.yml'), '--faults', faults, '--json']);
  const { findings } = assertKept(t, outcome, CLOSED);
  const of = (check: string): string => findings.find((one) => one.check === check)!.message;
  t.regex(of('refuse@preflight'), PUT_BACK);
  t.regex(of('refuse@fence'), PUT_BACK);
  t.is(of('refuse@keep'), 'it did not happen: the targets had been flipped before');
});

test('the last of two files cannot be replaced: the first is put back', async (t) => {
  const work = await workplace(t);
  await work.file(
    'playbook.yml',
    `version: 1
name: two
blue: \${DATABASE_URL}
verify: [schema]
gate: open
switch: { targets: [env-file: { path: app.env }, env-file: { path: worker.env }] }
`,
  );
  const words = ['rehearse', 'playbook.yml', '--fixture', fixture('orders'), '--json'];
  const outcome = await work.cutover([...words, '--faults', 'refuse@fence,refuse@switch']);
  const { findings } = assertKept(t, outcome, CLOSED);
  for (const check of ['refuse@fence', 'refuse@switch'])
    t.regex(findings.find((one) => one.check === check)!.message, PUT_BACK);
});

(NEEDS_PGBOUNCER ? ava.skip : test)(
  `while clients go on behind PgBouncer, its file cannot be replaced${NEEDS_PGBOUNCER}`,
  async (t) => {
    const work = await workplace(t);
    const words = ['rehearse', playbook('live-pgbouncer.yml'), '--fixture', fixture('orders'), '--json'];
    const outcome = await work.cutover([...words, '--faults', 'refuse@clone,refuse@switch']);
    const { findings } = assertKept(t, outcome, LIVE);
    for (const check of ['refuse@clone', 'refuse@switch']) {
      const { message } = findings.find((one) => one.check === check)!;
      t.regex(message, PUT_BACK);
      t.regex(message, /transactions, no error;/);
    }
  },
);

const NEEDS_PRLIMIT = isInstalled('prlimit') ? '' : ' (SKIPPED: prlimit is not installed)';

(NEEDS_PRLIMIT ? ava.skip : test)(
  `a disk that is full: the copy has no room, and blue has${NEEDS_PRLIMIT}`,
  async (t) => {
    const work = await workplace(t);
    const faults = 'full@fence,full@migrate-1-sql,full@verify';
    const outcome = await work.cutover([
      'rehearse',
      playbook('quickstart.yml'),
      '--faults',
      faults,
      '--json',
    ]);
    const { findings } = assertKept(t, outcome, CLOSED);
    const of = (check: string): string => findings.find((one) => one.check === check)!.message;
    t.regex(of('full@fence'), PUT_BACK);
    t.regex(of('full@migrate-1-sql'), PUT_BACK);
    t.is(of('full@verify'), 'it did not happen: nothing needed room any more');
  },
);

test('a way to the servers that is slow: the run is only slower', async (t) => {
  const work = await workplace(t);
  const faults = 'slow@clone,slow@keep';
  const outcome = await work.cutover(['rehearse', playbook('quickstart.yml'), '--faults', faults, '--json']);
  const { findings } = assertKept(t, outcome, CLOSED);
  for (const check of ['slow@clone', 'slow@keep'])
    t.regex(findings.find((one) => one.check === check)!.message, /^the run came through .*none lost/);
});

(NEEDS_PGBOUNCER ? ava.skip : test)(
  `while clients go on behind PgBouncer, the way to the server is slow, and then its disk is full${NEEDS_PGBOUNCER}`,
  async (t) => {
    const work = await workplace(t);
    const words = ['rehearse', playbook('live-pgbouncer.yml'), '--fixture', fixture('orders'), '--json'];
    const faults = ['slow@switch', ...(NEEDS_PRLIMIT ? [] : ['full@clone'])];
    const outcome = await work.cutover([...words, '--faults', faults.join(',')]);
    const { findings } = assertKept(t, outcome, LIVE);
    for (const check of faults) {
      const { message } = findings.find((one) => one.check === check)!;
      t.regex(
        message,
        check === 'full@clone' ? PUT_BACK : /^(?:the run came through|everything was put back)/,
      );
      t.regex(message, /none lost, none doubled; .* transactions, no error;/);
    }
  },
);

const missing = [
  ...(NEEDS_PGBOUNCER ? ['pgbouncer'] : []),
  ...(NEEDS_PRLIMIT ? ['prlimit'] : []),
  ...(majors().includes(15) ? [] : ['PostgreSQL 15']),
  ...(pgDump ? [] : ['pg_dump']),
];
(missing.length > 0 ? ava.skip : test)(
  `across two servers: the disk of green is full${missing.length > 0 ? ` (SKIPPED: ${missing.join(', ')} is not installed)` : ''}`,
  async (t) => {
    const work = await workplace(t);
    const words = ['rehearse', playbook('major-upgrade.yml'), '--fixture', fixture('orders'), '--json'];
    const outcome = await work.cutover([...words, '--pg', '15,18', '--faults', 'full@clone']);
    const { findings } = assertKept(t, outcome, LIVE);
    const { message } = findings.find((one) => one.check === 'full@clone')!;
    t.regex(message, PUT_BACK);
    t.regex(message, /transactions, no error;/);
  },
);
