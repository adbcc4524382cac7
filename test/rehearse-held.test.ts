import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ava from 'ava';
import { root, workplace } from './helpers/cli.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { assertKept, fixture, LIVE, playbook } from './helpers/rehearsal.ts';

(NEEDS_PGBOUNCER ? ava.skip : ava)(
  `a playbook that holds its runs: what is held on the stage is put back by abort${NEEDS_PGBOUNCER}`,
  async (t) => {
    const work = await workplace(t);
    const text = await readFile(playbook('live-pgbouncer.yml'), 'utf8');
    await work.file(
      'playbook.yml',
      `${text.replace('../fixtures', join(root, 'fixtures'))}\non-failure: { verify: hold, switch: hold }\n`,
    );
    const words = ['rehearse', 'playbook.yml', '--fixture', fixture('orders'), '--json'];
    const outcome = await work.cutover([...words, '--faults', 'tamper,refuse@clone']);
    const { findings } = assertKept(t, outcome, LIVE);
    const of = (check: string): string => findings.find((one) => one.check === check)!.message;
    t.regex(of('tamper'), /^the verification saw it and was held, and abort put everything back /);
    t.regex(
      of('refuse@clone'),
      /^the run was held, abort put everything back, and the next run came through /,
    );
  },
);
