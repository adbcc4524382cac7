import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import type { Workplace } from './helpers/cli.ts';
import { dump } from './helpers/dump.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { shop as makeShop } from './helpers/shop.ts';
import { noTerminal, terminal, type Terminal, type TerminalOptions } from './helpers/terminal.ts';

const HIDE = '\u001B[?25l';
const SHOW = '\u001B[?25h';
// oxlint-disable-next-line no-control-regex -- a colour is a control sequence
const COLOUR = /\u001B\[(?:3[0-7]|9[0-7]|1|2)(?:;\d+)*m/;
const CTRL_C = '\u0003';

const test = (title: string, work: (t: ExecutionContext) => Promise<void>): void => {
  if (noTerminal === undefined) anyTest.serial(title, work);
  else anyTest.skip(`${noTerminal}: ${title}`, work);
};

// What the many short processes compile is the same each time.
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'cutover-test-compile-cache');

let server: TestServer;
anyTest.before(async (t) => {
  if (noTerminal !== undefined) t.log(noTerminal);
  server = await testServer();
});
anyTest.after.always(() => server?.stop());

interface Shop {
  readonly work: Workplace;
  readonly name: string;
  readonly at: (args: readonly string[], options?: TerminalOptions) => Terminal;
  /** Blue is as it was, open, without a mark, and there is no copy. */
  readonly putBack: (t: ExecutionContext) => Promise<void>;
}

async function shop(t: ExecutionContext, sleep = 0): Promise<Shop> {
  const { work, name, env, before } = await makeShop(t, server, 'migrate: [sql: { directory: . }]');
  await work.file('V001__tier.sql', `alter table shops add column tier text; select pg_sleep(${sleep});`);
  return {
    work,
    name,
    at(args, options = {}) {
      const shown = terminal(work, args, { ...options, env: { ...env, ...options.env } });
      t.teardown(() => shown.hangUp());
      return shown;
    },
    async putBack(tt) {
      tt.deepEqual(await databases(name), [name]);
      tt.deepEqual(await dump(server, name), before);
    },
  };
}

const databases = async (name: string): Promise<string[]> =>
  (
    await server.sql<{ datname: string }>(
      `select datname from pg_database where datname ~ '^(${name}|cutover)' order by 1`,
    )
  ).map(({ datname }) => datname);

/** The cursor is where the user left it: shown, whatever was done to it before. */
function cursorIsBack(t: ExecutionContext, raw: string): void {
  t.true(raw.includes(HIDE), 'the cursor was hidden');
  t.true(raw.lastIndexOf(SHOW) > raw.lastIndexOf(HIDE), 'and is shown again');
}

test('a live list on standard error, a question at the gate, yes switches', async (t) => {
  const { at, name } = await shop(t);
  const run = at(['run', 'playbook.yml'], { stdout: 'pipe' });
  await run.waitFor(/Switch now\?.*\(y\/N\)/);
  t.deepEqual(await databases(name), [name, `${name}_green`]);
  run.type('y\r');
  const { code, out } = await run.done;
  t.is(code, 0, run.end());
  t.is(out, '', 'standard output belongs to data');
  t.regex(run.text(), /[█░]{5}/);
  t.regex(run.text(), /completed/);
  t.regex(run.raw(), COLOUR);
  cursorIsBack(t, run.raw());
  t.deepEqual(await databases(name), [name, `${name}_previous`]);
});

test('no at the gate puts everything back', async (t) => {
  const { at, putBack } = await shop(t);
  const run = at(['run', 'playbook.yml']);
  await run.waitFor(/\(y\/N\)/);
  run.type('n\r');
  t.is((await run.done).code, 4, run.end());
  t.regex(run.text(), /answered with no[^]*accepts connections/);
  cursorIsBack(t, run.raw());
  await putBack(t);
});

test('a gate that is answered elsewhere takes its question back, and the run goes on', async (t) => {
  const { at, name, work } = await shop(t);
  const run = at(['run', 'playbook.yml']);
  await run.waitFor(/\(y\/N\)/);
  const approved = await work.cutover(['approve']);
  t.is(approved.code, 0, approved.err);
  t.is((await run.done).code, 0, run.end());
  t.regex(run.text(), /completed/);
  cursorIsBack(t, run.raw());
  t.deepEqual(await databases(name), [name, `${name}_previous`]);
});

test('a run that died at its gate is resumed there: the question is asked once more', async (t) => {
  const { at, name } = await shop(t);
  const run = at(['run', 'playbook.yml']);
  await run.waitFor(/\(y\/N\)/);
  await run.kill('SIGKILL');
  await run.done;
  const resumed = at(['resume']);
  await resumed.waitFor(/\(y\/N\)/);
  resumed.type('y\r');
  t.is((await resumed.done).code, 0, resumed.end());
  t.regex(resumed.text(), /completed/);
  cursorIsBack(t, resumed.raw());
  t.deepEqual(await databases(name), [name, `${name}_previous`]);
});

test('Enter alone is no yes', async (t) => {
  const { at, putBack } = await shop(t);
  const run = at(['run', 'playbook.yml']);
  await run.waitFor(/\(y\/N\)/);
  run.type('\r');
  t.is((await run.done).code, 4, run.end());
  await putBack(t);
});

test('Ctrl-C at the question puts everything back and leaves the terminal usable', async (t) => {
  const { at, putBack } = await shop(t);
  const run = at(['run', 'playbook.yml']);
  await run.waitFor(/\(y\/N\)/);
  run.type(CTRL_C);
  t.is((await run.done).code, 130, run.end());
  t.regex(run.text(), /interrupted by SIGINT/);
  cursorIsBack(t, run.raw());
  await putBack(t);
});

test('SIGTERM at the question takes the question back', async (t) => {
  const { at, putBack } = await shop(t);
  const run = at(['run', 'playbook.yml']);
  await run.waitFor(/\(y\/N\)/);
  await run.kill('SIGTERM');
  t.is((await run.done).code, 143, run.end());
  cursorIsBack(t, run.raw());
  await putBack(t);
});

test('Ctrl-C during the live list ends the step in flight', async (t) => {
  const { at, putBack } = await shop(t, 60);
  const run = at(['run', 'playbook.yml']);
  await run.waitFor(/V001__tier|migrations/);
  const started = Date.now();
  run.type(CTRL_C);
  t.is((await run.done).code, 130, run.end());
  t.true(Date.now() - started < 30_000);
  cursorIsBack(t, run.raw());
  await putBack(t);
});

test('a terminal that goes away ends the run as SIGTERM does', async (t) => {
  for (const place of [/\(y\/N\)/, /V001__tier|migrations/]) {
    const { at, putBack } = await shop(t, place.source.includes('V001') ? 60 : 0);
    const run = at(['run', 'playbook.yml']);
    await run.waitFor(place);
    run.hangUp();
    t.is((await run.done).code, 143, run.end());
    await putBack(t);
  }
});

test('a terminal without a width gets lines; narrow and wide ones get the list', async (t) => {
  for (const columns of [0, 40, 200]) {
    const { at } = await shop(t);
    const run = at(['run', 'playbook.yml', '--yes'], { columns });
    t.is((await run.done).code, 0, run.end());
    if (columns === 0) t.regex(run.text(), /^\d{4}-\d\d-\d\dT[\d:]+Z {2}clone: /m);
    else {
      t.notRegex(run.text(), /^\d{4}-\d\d-\d\dT/m);
      t.true(run.raw().includes(HIDE));
    }
  }
});

test('--no-color and NO_COLOR reach the list and the question too', async (t) => {
  for (const plain of ['--no-color', 'NO_COLOR']) {
    const { at } = await shop(t);
    const run = plain === 'NO_COLOR' ? ['run', 'playbook.yml'] : ['run', 'playbook.yml', plain];
    const shown = at(run, { env: plain === 'NO_COLOR' ? { NO_COLOR: '1' } : { FORCE_COLOR: '1' } });
    await shown.waitFor(/\(y\/N\)/);
    shown.type('n\r');
    t.is((await shown.done).code, 4, shown.end());
    t.notRegex(shown.raw(), COLOUR);
    t.notRegex(shown.text(), /Warning/);
  }
});

test('CI asks nothing, even at a terminal', async (t) => {
  const { at, putBack, work } = await shop(t);
  const run = at(['run', 'playbook.yml'], { env: { CI: 'true' } });
  t.is((await run.done).code, 3, run.end());
  t.regex(run.text(), /no terminal to ask at|--yes/);
  await putBack(t);
  t.is((await work.cutover(['runs'])).out.trim(), 'There are no runs yet. Begin with: cutover plan PLAYBOOK');
});

test('a swap back asks, and retire wants the name typed', async (t) => {
  const { at, name } = await shop(t);
  t.is((await at(['run', 'playbook.yml', '--yes']).done).code, 0);

  const no = at(['swap-back']);
  await no.waitFor(/Swap back now\?.*\(y\/N\)/);
  t.regex(no.text(), /nothing is lost/);
  no.type('n\r');
  t.is((await no.done).code, 3, no.end());
  t.deepEqual(await databases(name), [name, `${name}_previous`]);

  const yes = at(['swap-back']);
  await yes.waitFor(/\(y\/N\)/);
  yes.type('y\r');
  t.is((await yes.done).code, 0, yes.end());
  t.deepEqual(await databases(name), [name, `${name}_green`]);

  const wrong = at(['retire']);
  await wrong.waitFor(/Type its name/);
  wrong.type(`${name}\r`);
  t.is((await wrong.done).code, 3, wrong.end());
  t.regex(wrong.text(), /that is not the name/);

  const left = at(['retire']);
  await left.waitFor(/Type its name/);
  left.type(CTRL_C);
  t.is((await left.done).code, 130, left.end());
  t.deepEqual(await databases(name), [name, `${name}_green`]);

  const right = at(['retire']);
  await right.waitFor(/Type its name/);
  right.type(`${name}_green\r`);
  t.is((await right.done).code, 0, right.end());
  t.deepEqual(await databases(name), [name]);
});
