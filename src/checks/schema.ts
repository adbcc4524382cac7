import { z } from 'zod';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/check.ts';
import type { Driver } from '../core/driver.ts';
import { formatCount, plural } from '../util/units.ts';
import { printAdded, printDifference } from './shared/print-difference.ts';
import { compareSchemas, type Difference } from './shared/schema-diff.ts';
import { failure, yamlList } from './shared/run.ts';

const NAME = 'schema';
const options = z.strictObject({});

/** Compares the definitions of all objects, under what the migrations are expected to change. */
export const schema: Driver<z.infer<typeof options>, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'Everything that blue has is on green, unless the playbook expects otherwise',
  options,
  bare: true,
  open: () => ({
    when: 'closed',
    describe: () => [
      'compares the definitions of all objects: what blue has must be on green unchanged, unless `expect` names it',
      'what only green has is listed',
    ],
    run: async (context) => run(context),
  }),
};

function run(context: CheckContext): Finding[] {
  context.signal.throwIfAborted();
  const { blue, green } = context.catalogs;
  const diff = compareSchemas(blue, green, context.expect);
  const findings: Finding[] = diff.unmatched.map(({ option, name, near }) =>
    failure(NAME, `expect.${option} names ${name}, which blue does not have`, {
      hint:
        near.length > 0
          ? `perhaps ${near.join(' or ')} is meant`
          : 'names are written as schema.table.column',
    }),
  );
  const unexpected = diff.differences.filter((difference) => !difference.expected);
  const expected = diff.differences.filter((difference) => difference.expected);
  if (unexpected.length > 0) findings.push(broken(unexpected));
  for (const name of diff.unmet) {
    findings.push({
      check: NAME,
      severity: 'warning',
      message: `${name} is expected to be gone or renamed, and is not`,
    });
  }
  if (expected.length > 0) {
    const message = `${plural(expected.length, 'object')} of blue ${expected.length === 1 ? 'is' : 'are'} changed, renamed or dropped as expected`;
    findings.push({ check: NAME, severity: 'note', message, detail: printDifference(expected) });
  }
  if (diff.added.length > 0) {
    const message = `${plural(diff.added.length, 'object')} only on green`;
    findings.push({ check: NAME, severity: 'note', message, detail: printAdded(diff.added) });
  }
  if (findings.some((finding) => finding.severity === 'failure')) return findings;
  const rest =
    expected.length > 0 ? `, ${formatCount(expected.length)} of them changed as expected` : ' unchanged';
  const message = `all ${plural(blue.objects.length, 'object')} of blue are on green${rest}`;
  const dropped = expected.some((difference) => difference.how === 'missing');
  return [
    ...findings,
    {
      check: NAME,
      severity: 'ok',
      message: dropped
        ? `nothing of blue's ${plural(blue.objects.length, 'object')} is changed or missing on green beyond what is expected`
        : message,
    },
  ];
}

function broken(differences: readonly Difference[]): Finding {
  const names = (how: Difference['how']) =>
    differences.filter((one) => one.how === how).map((one) => one.name);
  const [missing, changed] = [names('missing'), names('changed')];
  const parts = [
    ...(missing.length > 0 ? [`${plural(missing.length, 'object')} of blue missing`] : []),
    ...(changed.length > 0 ? [`${plural(changed.length, 'object')} of blue changed`] : []),
  ];
  // An index and its constraint go by one name.
  const unique = (paths: typeof missing) => [
    ...new Map(paths.map((path) => [path.join('\0'), path])).values(),
  ];
  const lists = [
    ...(changed.length > 0 ? [`changed: ${yamlList(unique(changed))}`] : []),
    ...(missing.length > 0 ? [`dropped: ${yamlList(unique(missing))}`] : []),
  ];
  return failure(NAME, `${parts.join(', ')} on green`, {
    detail: printDifference(differences),
    hint: `blue is untouched; if the migrations are meant to do this: expect: { ${lists.join(', ')} }`,
  });
}
