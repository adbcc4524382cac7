import ava from 'ava';
import { faultFinding } from '../src/rehearse/faults/finding.ts';
import { workplace } from './helpers/cli.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { assertKept, CLOSED, fixture, LIVE, playbook, verdictOf } from './helpers/rehearsal.ts';

// One after the other: clients write all the time, and the machine is small.
const test = ava.serial;

test('accidents: killed, cut off and tampered with, and every promise holds', async (t) => {
  const work = await workplace(t);
  const faults = 'kill@clone,kill@switch,cut@preflight,cut@fence,cut@switch,crash@switch,tamper,migration';
  const outcome = await work.cutover(['rehearse', playbook('quickstart.yml'), '--faults', faults, '--json']);
  const { findings } = assertKept(t, outcome, CLOSED);
  const of = (check: string): string => findings.find((one) => one.check === check)!.message;
  t.regex(of('kill@clone'), /^it was resumed .*none lost, none doubled; .*nothing of any run is left/);
  t.regex(of('kill@switch'), /^it was resumed/);
  for (const fault of ['cut@preflight', 'cut@fence', 'cut@switch', 'crash@switch'])
    t.regex(of(fault), /^(?:everything was put back|the run came through) /);
  t.regex(of('migration'), /^the run stopped at it, and everything was put back .*none lost/);
  t.regex(of('tamper'), /^the verification saw it, and everything was put back/);
});

(NEEDS_PGBOUNCER ? ava.skip : test)(
  `accidents while clients go on behind PgBouncer${NEEDS_PGBOUNCER}`,
  async (t) => {
    const work = await workplace(t);
    const words = ['rehearse', playbook('live-pgbouncer.yml'), '--fixture', fixture('orders'), '--json'];
    const faults = 'kill@clone,kill@switch,kill@bake,cut@switch,cut@keep,crash@keep';
    assertKept(t, await work.cutover([...words, '--faults', faults]), LIVE);
  },
);

test('a playbook that would not see a row that was tampered with is told so', async (t) => {
  const work = await workplace(t);
  await work.file(
    'playbook.yml',
    'version: 1\nname: blind\nblue: ${DATABASE_URL}\nverify: [schema]\ngate: open\nswitch: { targets: [database-rename] }\n',
  );
  const words = ['rehearse', 'playbook.yml', '--fixture', fixture('orders'), '--faults', 'tamper', '--json'];
  const outcome = await work.cutover(words);
  t.is(outcome.code, 5, outcome.err);
  const { findings } = verdictOf(outcome);
  const failed = findings.filter(({ severity }) => severity === 'failure');
  t.deepEqual(
    failed.map(({ check }) => check),
    ['tamper'],
  );
  t.regex(failed[0]!.message, /no check saw the row/);
});

const breaches: Record<string, [sql: string, check: string, says: RegExp]> = {
  'a row that is lost': [
    'delete from cutover_rehearsal.entries where id = (select min(id) from cutover_rehearsal.entries)',
    'writes',
    /1 acknowledged entries are lost/,
  ],
  'a row that is doubled': [
    `insert into cutover_rehearsal.entries select id || 'x', client, body from cutover_rehearsal.entries limit 1`,
    'writes',
    /1 entries nobody wrote/,
  ],
  'a change of a balance': [
    'update cutover_rehearsal.accounts set balance = balance + 1 where id = 7',
    'writes',
    /the sum is 40001/,
  ],
  'something that is left': [
    'create publication cutover_left for all tables',
    'leftovers',
    /left over: publication cutover_left/,
  ],
};
for (const [name, [sql, check, says]] of Object.entries(breaches))
  test(`a broken promise is seen: ${name}`, async (t) => {
    const work = await workplace(t);
    await work.file('V001__breach.sql', `${sql};\n`);
    await work.file(
      'playbook.yml',
      `version: 1
name: broken
blue: \${DATABASE_URL}
migrate: [sql: { directory: . }]
verify: [{ sql: { query: select 1, equals: 1 } }]
gate: open
switch: { targets: [database-rename] }
`,
    );
    const outcome = await work.cutover([
      'rehearse',
      'playbook.yml',
      '--fixture',
      fixture('orders'),
      '--json',
    ]);
    t.is(outcome.code, 5, outcome.err);
    const { good, findings } = verdictOf(outcome);
    t.false(good);
    t.deepEqual(
      findings.filter(({ severity }) => severity === 'failure').map((one) => one.check),
      [check],
    );
    t.regex(findings.find((one) => one.check === check)!.detail!, says);
  });

test('an accident that did not happen shows nothing, and says so', (t) => {
  const told = { words: ['run'], code: 0, from: 0, to: 1, output: '' };
  const struck = { told, state: undefined, as: 'the run came through', well: true, happened: false };
  const { severity, message } = faultFinding({ kind: 'cut', step: 'gate' }, struck, []);
  t.is(severity, 'note');
  t.regex(message, /it did not happen/);
});
