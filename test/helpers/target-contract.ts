import type { ExecutionContext, SerialFn } from 'ava';
import { StepError } from '../../src/core/errors.ts';
import type { Target } from '../../src/core/drivers/target.ts';

/** One target on the real thing, pointing at blue. */
export interface TargetCase {
  readonly target: Target;
  /** Everything that the target may change, and what it must leave alone, as text. */
  readonly state: () => Promise<string>;
  /** Points the real thing at neither side. */
  readonly astray: () => Promise<void>;
  /** The same target as another process opens it. */
  readonly again: () => Promise<Target>;
  readonly end?: () => Promise<void>;
}

/** What every target promises, whatever it points with. */
export function targetContract(test: SerialFn, name: string, make: () => Promise<TargetCase>): void {
  const promise = (title: string, body: (t: ExecutionContext, subject: TargetCase) => Promise<void>) =>
    test(`${name}: ${title}`, async (t) => {
      const subject = await make();
      try {
        await body(t, subject);
      } finally {
        await subject.end?.();
      }
    });

  promise('says where it points, and what it will do', async (t, { target, state }) => {
    const before = await state();
    t.is(await target.current(), 'blue');
    const { does, undo } = target.describe();
    t.true(does.length > 0 && does.every((line) => line.length > 0));
    t.true(undo.length > 0);
    t.is(await state(), before);
  });

  promise('preparing changes nothing, and can be repeated', async (t, { target, state }) => {
    const before = await state();
    await target.prepare('blue', 'green');
    await target.prepare('blue', 'green');
    t.is(await state(), before);
    t.is(await target.current(), 'blue');
  });

  promise('switches, and a second time changes nothing more', async (t, { target, state, again }) => {
    await target.prepare('blue', 'green');
    await target.switch('blue', 'green');
    t.is(await target.current(), 'green');
    const after = await state();
    await target.switch('blue', 'green');
    await (await again()).switch('blue', 'green');
    t.is(await state(), after);
    t.is(await (await again()).current(), 'green');
  });

  promise(
    'switches without being prepared, as a process does that goes on after a crash',
    async (t, { again }) => {
      const other = await again();
      await other.switch('blue', 'green');
      t.is(await other.current(), 'green');
    },
  );

  promise('switching back restores everything to the letter', async (t, { target, state, again }) => {
    const before = await state();
    for (let round = 0; round < 3; round += 1) {
      await target.switch('blue', 'green');
      const other = await again();
      await other.prepare('green', 'blue');
      await other.switch('green', 'blue');
      t.is(await state(), before);
      t.is(await target.current(), 'blue');
    }
  });

  promise(
    'refuses when it points at neither side, and touches nothing',
    async (t, { target, state, astray }) => {
      await target.prepare('blue', 'green');
      await astray();
      const before = await state();
      t.is(await target.current(), undefined);
      for (const attempt of [
        () => target.prepare('blue', 'green'),
        () => target.prepare('green', 'blue'),
        () => target.switch('blue', 'green'),
        () => target.switch('green', 'blue'),
      ]) {
        const error = await t.throwsAsync(attempt, { instanceOf: StepError });
        t.truthy(error.hint);
      }
      t.is(await state(), before);
    },
  );

  promise(
    'refuses to be prepared for a switch from where it does not point',
    async (t, { target, state }) => {
      const before = await state();
      await t.throwsAsync(target.prepare('green', 'blue'), { instanceOf: StepError });
      t.is(await state(), before);
    },
  );
}
