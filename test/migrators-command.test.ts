// The command of a team: what it is given, and how it ends.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { StepError } from '../src/core/errors.ts';
import { control, folderWith } from './helpers/migrator-contract.ts';
import { failure, migratorSuite, open } from './helpers/migrator-suite.ts';

const { fresh } = migratorSuite();

/** A shell line that starts a process, and writes down which. */
const lingering = (name: string): string => `sh -c 'echo $$ > ${name}; exec sleep 60' & wait`;

test('the command of a team runs in its folder, with its variable, and shows its lines', async (t) => {
  const folder = await folderWith(t, {});
  const target = await fresh();
  const migrator = open(
    'command',
    { run: 'pwd; echo "${APP_DB#*@}"; printf "\\033[32m%s\\033[0m\\n" "$APP_DB" >&2', variable: 'APP_DB' },
    folder,
  );
  const recorder = control();
  const lines = await migrator.apply(target, recorder);
  t.regex(lines[0]!, / \d+(\.\d)? m?s$/);
  const { port, password } = new URL(target.url);
  t.true(recorder.notes.includes(`0/1 ${folder}`));
  t.true(recorder.notes.includes(`0/1 127.0.0.1:${port}/${target.name}`));
  t.true(recorder.notes.some((note) => note.startsWith('0/1 postgresql://postgres:***@127.0.0.1')));
  t.false(recorder.notes.join().includes(password));
  t.is(await migrator.status(target), undefined);
});

test('a command that fails says its exit code and its last lines', async (t) => {
  const target = await fresh();
  const migrator = open('command', {
    run: 'for i in $(seq 30); do echo "line $i"; done; echo "$DATABASE_URL"; exit 3',
    directory: '/tmp',
  });
  const error = await failure(t, migrator.apply(target, control()), StepError);
  t.regex(error.message, /failed with exit code 3: for i in/);
  const lines = error.detail!.split('\n');
  t.is(lines.length, 20);
  t.is(lines[0], 'line 12');
  t.regex(lines.at(-1)!, /:\*\*\*@/);
  t.regex(error.hint!, /set \w+ to a copy that nobody needs; it ran in \/tmp/);
  const unknown = await failure(
    t,
    open('command', { run: 'no-such-tool up' }).apply(target, control()),
    StepError,
  );
  t.regex(unknown.message, /exit code 127/);
  t.regex(unknown.hint!, /PATH/);
  const nowhere = open('command', { run: 'true', directory: '/no/where' }).apply(target, control());
  t.regex((await failure(t, nowhere, StepError)).message, /no folder \/no\/where/);
});

test('a command that takes too long, or is aborted, is ended with everything that it started', async (t) => {
  const folder = await folderWith(t, {});
  const target = await fresh();
  const gone = async (name: string): Promise<boolean> => {
    const pid = Number(await readFile(join(folder, name), 'utf8'));
    // Where nothing reaps orphans the entry stays, as a zombie.
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z');
    return /\) [ZX]/.test(stat);
  };
  const slow = open('command', { run: lingering('a'), timeout: '3s' }, folder);
  const error = await failure(t, slow.apply(target, control()), StepError);
  t.regex(error.message, /was ended after 3\.0 s/);
  t.regex(error.hint!, /raise timeout/);
  t.true(await gone('a'));

  const controller = new AbortController();
  const reason = new Error('enough');
  const applying = open('command', { run: lingering('b') }, folder).apply(target, control(controller.signal));
  const stopping = t.throwsAsync(applying);
  while (!(await readFile(join(folder, 'b'), 'utf8').catch(() => ''))) await sleep(20);
  controller.abort(reason);
  t.is(await stopping, reason);
  t.true(await gone('b'));
});

test('the plan of a command shows its line, and what its status line says', async (t) => {
  const target = await fresh();
  t.deepEqual(await open('command', { run: 'alembic upgrade head' }).plan(target), {
    does: ['alembic upgrade head'],
    files: [],
  });
  t.deepEqual(await open('command', { run: 'up', status: 'true' }).plan(target), {
    does: ['up', 'status: nothing is pending (true: exit code 0)'],
    files: [],
    pending: 0,
  });
  const pending = await open('command', {
    run: 'up',
    status: 'echo "$PGOPTIONS" | grep -q read_only=on && exit 4',
  }).plan(target);
  t.regex(pending.does[1]!, /^status: migrations are pending \(.*: exit code 4\)$/);
  t.throws(() => open('command', { run: 'up', variable: 'A B' }), { message: /environment variable/ });
});
