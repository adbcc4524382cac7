import { z } from 'zod';
import type { Catalog, CatalogObject, Path } from '../core/database/catalog.ts';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import { formatCount, plural } from '../util/units.ts';
import { checkOptions } from './shared/manner.ts';
import { likelyRenames, renameMap } from './shared/likely-renames.ts';
import { printAdded, printDifference } from './shared/print-difference.ts';
import { compareSchemas, type Difference } from './shared/schema-diff.ts';
import { failure, yamlList } from './shared/run.ts';

const NAME = 'schema';
const options = checkOptions({});

/** Compares the definitions of all objects, under what the migrations are expected to change. */
export const schema: Driver<z.infer<typeof options>, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'Everything that blue has is on green, unless the playbook expects otherwise',
  options,
  bare: true,
  open: () => ({
    when: 'closed',
    compares: true,
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
  for (const { from, to, near } of diff.astray) {
    findings.push(
      failure(NAME, `expect.renamed says ${from} is ${to} now, which green does not have`, {
        hint:
          near.length > 0
            ? `perhaps ${near.join(' or ')} is meant`
            : 'names are written as schema.table.column',
      }),
    );
  }
  const unexpected = diff.differences.filter((difference) => !difference.expected);
  const expected = diff.differences.filter((difference) => difference.expected);
  if (unexpected.length > 0) findings.push(broken(unexpected, diff.added, blue));
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
  // A failure lists what only green has itself: that is where a forgotten rename shows.
  if (diff.added.length > 0 && unexpected.length === 0) {
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

function broken(differences: readonly Difference[], added: readonly CatalogObject[], blue: Catalog): Finding {
  const missing = differences.filter(({ how }) => how === 'missing');
  const changed = differences.filter(({ how }) => how === 'changed');
  const renames = likelyRenames(missing, added, blue.objects);
  const dropped = missing.filter((one) => !renames.some(({ from }) => from === one));
  const parts = [
    ...(missing.length > 0 ? [`${plural(missing.length, 'object')} of blue missing`] : []),
    ...(changed.length > 0 ? [`${plural(changed.length, 'object')} of blue changed`] : []),
  ];
  const lists = [
    ...(renames.length > 0 ? [`renamed: ${renameMap(renames)}`] : []),
    ...(changed.length > 0 ? [`changed: ${yamlList(unique(changed))}`] : []),
    ...(dropped.length > 0 ? [`dropped: ${yamlList(unique(dropped))}`] : []),
  ];
  const more = [
    ...(renames.length > 0 ? ['what is named as renamed is compared, value by value'] : []),
    ...(dropped.length > 0
      ? ['what is named as dropped is gone: its values are not compared with anything']
      : []),
  ];
  return failure(NAME, `${parts.join(', ')} on green`, {
    detail: [printDifference(differences), ...(added.length > 0 ? [printAdded(added)] : [])].join('\n'),
    hint: [
      `blue is untouched; if the migrations are meant to do this: expect: { ${lists.join(', ')} }`,
      ...more,
    ].join('\n'),
  });
}

/** An index and its constraint go by one name. */
const unique = (differences: readonly Difference[]): Path[] => [
  ...new Map(differences.map(({ name }) => [name.join('\0'), name])).values(),
];
