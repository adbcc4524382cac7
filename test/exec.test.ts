import test from 'ava';
import { pipe, type PipedCommand } from '../src/util/exec.ts';

const command = (file: string, ...args: string[]): PipedCommand => ({ file, args, env: process.env });
const shell = (line: string): PipedCommand => command('sh', '-c', line);

const piped = async (first: PipedCommand, second: PipedCommand, limit = 20_000) => {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), limit);
  let bytes = 0;
  try {
    const ended = await pipe(first, second, { signal: over.signal, onBytes: (done) => (bytes = done) });
    return { ...ended, bytes, inTime: !over.signal.aborted };
  } finally {
    clearTimeout(timer);
  }
};

test('one command is the input of the other', async (t) => {
  const { code, bytes, inTime } = await piped(
    shell('printf 12345; sleep 0.2'),
    shell('test "$(cat)" = 12345'),
  );
  t.deepEqual({ code, bytes, inTime }, { code: 0, bytes: 5, inTime: true });
});

for (const [when, second] of [
  ['at once', 'echo no room >&2; exit 3'],
  ['while the other one waits for it', 'sleep 0.5; echo no room >&2; exit 3'],
  ['in the middle', 'head -c 100000 >/dev/null; echo no room >&2; exit 3'],
] as const)
  test(`the second one fails ${when}: the first one is ended, and is not what failed`, async (t) => {
    const { code, failed, output, inTime } = await piped(command('yes'), shell(second));
    t.true(inTime);
    t.is(code, 3);
    t.is(failed, 'sh');
    t.regex(output, /no room/);
  });

test('the second one fails while the first one has nothing to write', async (t) => {
  const { code, failed, inTime } = await piped(command('sleep', '60'), shell('exit 3'));
  t.deepEqual({ code, failed, inTime }, { code: 3, failed: 'sh', inTime: true });
});

test('the first one fails: it is what failed, whatever the other one makes of it', async (t) => {
  const { code, failed, output, inTime } = await piped(
    shell('echo half; echo broken off >&2; exit 4'),
    command('grep', 'whole'),
  );
  t.deepEqual({ code, failed, inTime }, { code: 4, failed: 'sh', inTime: true });
  t.regex(output, /broken off/);
});

test('one that cannot be started is an error, and the other one is ended', async (t) => {
  await t.throwsAsync(piped(command('yes'), command('/nowhere/at-all')), { code: 'ENOENT' });
  await t.throwsAsync(piped(command('/nowhere/at-all'), command('cat')), { code: 'ENOENT' });
});

test('a signal ends both', async (t) => {
  const { code, inTime } = await piped(command('sleep', '60'), command('cat'), 300);
  t.not(code, 0);
  t.false(inTime);
});
