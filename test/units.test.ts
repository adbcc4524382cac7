import test from 'ava';
import * as fc from 'fast-check';
import { formatCount } from '../src/util/units.ts';

test('numbers are grouped by thousands, however large, and with their sign', (t) => {
  t.is(formatCount(-1_234_567), '-1,234,567');
  t.is(formatCount(12_345_678_901_234_567_890n), '12,345,678,901,234,567,890');
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeInteger(), fc.bigInt()), (count) => {
      t.is(formatCount(count), count.toLocaleString('en-US'));
    }),
    { examples: [[0], [-1], [999], [1000], [-999], [-1000], [999_999], [1_000_000n]] },
  );
});
