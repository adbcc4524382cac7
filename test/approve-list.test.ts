import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ava from 'ava';
import { workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { windowScene } from './helpers/windows.ts';

const test = ava.serial;
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

interface Row {
  readonly name: string;
  readonly holds: false | 'not checked';
  readonly by: string | null;
  readonly until: string | null;
  readonly signed: boolean;
  readonly reasons: readonly string[];
}

const KEY = 'a key of some length';

test('approvals are listed with who gave them, until when, and what speaks against them', async (t) => {
  const { work, env } = await windowScene(t, server, 'approval: required');
  const list = async (more: Record<string, string> = {}) => {
    const { code, out, err } = await work.cutover(['approve', '--list', '--json'], more);
    return { code, err, rows: JSON.parse(out) as Row[] };
  };
  const none = await work.cutover(['approve', '--list']);
  t.is(none.code, 0, none.err);
  t.regex(none.out, /There are no approvals here/);
  const text = await readFile(join(work.folder, 'playbook.yml'), 'utf8');
  await work.file('other.yml', text.replace('name: shop', 'name: other'));
  for (const [file, more] of [
    ['playbook.yml', {}],
    ['other.yml', { CUTOVER_APPROVAL_KEY: KEY }],
  ] as const) {
    const given = await work.cutover(['approve', file, '--yes', '--for', '2h'], { ...env, ...more });
    t.is(given.code, 0, given.err);
  }
  // No word of blue: nobody is asked.
  const both = await list();
  t.is(both.code, 0, both.err);
  t.deepEqual(
    both.rows.map(({ name, holds, signed, reasons }) => [name, holds, signed, reasons]),
    [
      ['other', 'not checked', true, []],
      ['shop', 'not checked', false, []],
    ],
  );
  for (const { by, until } of both.rows) {
    t.regex(by!, /.+@.+/);
    t.true(Math.abs(Date.parse(until!) - Date.now() - 2 * 3_600_000) < 600_000);
  }
  const signed = await list({ CUTOVER_APPROVAL_KEY: KEY });
  t.deepEqual(
    signed.rows.map(({ holds }) => holds),
    ['not checked', false],
  );
  t.regex(signed.rows[1]!.reasons.join(), /it is not signed/);
  const ran = await work.cutover(['run', 'playbook.yml'], env);
  t.is(ran.code, 0, ran.err);
  const used = await work.cutover(['approve', '--list']);
  t.is(used.code, 0, used.err);
  t.regex(used.out, /other {3}given by .+@.+ until \S+, signed\n {2}holds; [^\n]* not checked\n/);
  t.regex(used.out, /shop {4}given by .+\n {2}does not hold:\n {4}it was used up by run \S+/);
  const file = join(work.folder, '.cutover/approvals/other.json');
  await writeFile(file, (await readFile(file, 'utf8')).replace(/"until":"\d{4}/, '"until":"2099'));
  t.regex((await list()).rows[0]!.reasons.join(), /its content was altered/);
  await writeFile(file, '{');
  const broken = await list();
  t.is(broken.code, 1);
  t.regex(broken.rows[0]!.reasons.join(), /the approval cannot be read/);
  t.is(broken.rows[0]!.by, null);
  t.regex(broken.rows[1]!.reasons.join(), /used up/);
});

test('a list goes with nothing else', async (t) => {
  const work = await workplace(t);
  for (const words of [
    ['playbook.yml', '--list'],
    ['--list', '--yes'],
    ['--list', '--gate', 'gate'],
    ['--json'],
  ]) {
    const { code, err } = await work.cutover(['approve', ...words]);
    t.is(code, 2, words.join(' '));
    t.regex(err, /--list/);
  }
});

test('approvals in a database are listed as well', async (t) => {
  const { work, env } = await windowScene(t, server, 'approval: required');
  const state = ['--state', server.url(await server.database())];
  const none = await work.cutover([...state, 'approve', '--list']);
  t.regex(none.out, /no approvals/, none.err);
  t.is((await work.cutover([...state, 'approve', 'playbook.yml', '--yes'], env)).code, 0);
  t.regex((await work.cutover([...state, 'approve', '--list'])).out, /^shop {3}given by .+\n {2}holds; /);
});
