import ava from 'ava';
import { workplace } from './helpers/cli.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { assertKept, CLOSED, fixture, LIVE, playbook } from './helpers/rehearsal.ts';

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
