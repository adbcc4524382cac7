// Properties of assignments
import ava, { type ExecutionContext } from 'ava';
import { assert, constantFrom, oneof, property, string } from 'fast-check';
import { findVariable, replaceValue } from '../src/targets/env-file/assignment.ts';

const test = ava.serial;

const anyText = string({
  unit: oneof(
    constantFrom('\n', '\r\n', '=', '"', "'", '\\', '#', ' ', '\t', 'A', 'B', 'export ', '$', '\u2028'),
    string({ unit: 'binary', maxLength: 1 }),
  ),
});
const anyValue = anyText.filter((text) => !/[\r\n]/.test(text));

function tryTo<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

test('a value that was replaced is read back, and everything around it is the same', (t: ExecutionContext) => {
  let replaced = 0;
  assert(
    property(anyText, anyValue, anyText, anyValue, (before, value, after, next) => {
      const text = `${before}\nA=${value}\n${after}`;
      const found = tryTo(() => findVariable(text, 'A'));
      const changed = found && tryTo(() => replaceValue(text, found, next));
      if (found === undefined || changed === undefined) return;
      replaced += 1;
      const again = findVariable(changed, 'A');
      if (again.value !== next) throw new Error(`read back as ${JSON.stringify(again.value)}`);
      const [head, tail] = [text.slice(0, found.start), text.slice(found.end)];
      const [bare, quoted] = [next, `'${next}'`].map((middle) => head + middle + tail === changed);
      if (!bare && !quoted) throw new Error('something else was changed');
    }),
    { numRuns: 20_000, examples: [["export ='", '', '', '#']] },
  );
  t.true(replaced > 2000, `${replaced} replaced`);
});

test('whatever the file holds, looking for a variable never takes long', (t) => {
  const started = Date.now();
  for (const text of [
    'A="'.repeat(3000),
    "A='\n".repeat(3000),
    `A=${' '.repeat(20_000)}x`,
    'export '.repeat(5000),
    'A="\\'.repeat(3000),
  ])
    tryTo(() => findVariable(text, 'B'));
  t.true(Date.now() - started < 3000, `${Date.now() - started} ms`);
});
