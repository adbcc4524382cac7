import { z } from 'zod';
import type { Catalog, Path, SequenceState } from '../core/database/catalog.ts';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import type { Side } from '../core/side.ts';
import { displayPath } from '../util/sql.ts';
import { formatCount, plural } from '../util/units.ts';
import { checkOptions } from './shared/manner.ts';
import { owner } from './shared/families.ts';
import { droppedKeys } from './shared/match.ts';
import { keyOf } from './shared/names.ts';
import { readRenames } from './shared/renames.ts';
import { failure, readBoth, unread, yamlList } from './shared/run.ts';

const NAME = 'sequences';
const options = checkOptions({});

/** Compares where the sequences stand: one that is behind would give out keys that are taken. */
export const sequences: Driver<z.infer<typeof options>, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'No sequence on green is behind the one on blue',
  options,
  bare: true,
  open: () => ({
    when: 'closed',
    compares: true,
    describe: () => ['compares the next value of every sequence of blue with green; green may be ahead'],
    run,
  }),
};

async function run(context: CheckContext): Promise<Finding[]> {
  const renames = readRenames(context.expect);
  const dropped = droppedKeys(context.expect);
  let states: Readonly<Record<Side, SequenceState[]>>;
  try {
    states = await readBoth(context, (side) => context[side].sequences());
  } catch (error) {
    return [unread(NAME, 'sequences', error)];
  }
  const onGreen = new Map(states.green.map((state) => [keyOf(state.path), state]));
  const owners = { blue: owned(context.catalogs.blue), green: owned(context.catalogs.green) };
  const byOwner = new Map(
    [...owners.green].map(([sequence, column]) => [keyOf(column), onGreen.get(sequence)]),
  );
  const findings: Finding[] = [];
  let compared = 0;
  for (const blue of states.blue) {
    const column = owners.blue.get(keyOf(blue.path));
    // A column's own sequence is found by the column: a rename of the table often leaves the sequence's name behind.
    const green =
      (column && byOwner.get(keyOf(renames.path(column)))) ?? onGreen.get(keyOf(renames.path(blue.path)));
    if (green) {
      compared += 1;
      findings.push(...behind(blue, green));
    } else if (
      ![blue.path, column, column?.slice(0, 2), blue.path.slice(0, 1)].some((p) => p && dropped.has(keyOf(p)))
    ) {
      findings.push(
        failure(NAME, `sequence ${displayPath(blue.path)} of blue is missing on green`, {
          hint: `if the migrations are meant to drop it: expect: { dropped: ${yamlList([blue.path])} }`,
        }),
      );
    }
  }
  if (findings.length > 0) return findings;
  const message =
    states.blue.length === 0
      ? 'blue has no sequences'
      : `none of ${plural(compared, 'sequence')} is behind on green`;
  return [{ check: NAME, severity: 'ok', message }];
}

/** Sequences and the columns that own them. */
function owned(catalog: Catalog): Map<string, Path> {
  const found = new Map<string, Path>();
  for (const object of catalog.objects) {
    const path = owner(object);
    if (path) found.set(keyOf(object.path), path);
  }
  return found;
}

const next = (state: SequenceState): bigint => state.lastValue + (state.isCalled ? state.increment : 0n);

function behind(blue: SequenceState, green: SequenceState): Finding[] {
  const gap = green.increment > 0n ? next(blue) - next(green) : next(green) - next(blue);
  if (gap <= 0n) return [];
  const message =
    `sequence ${displayPath(green.path)} would give ${formatCount(next(green))} next on green, ` +
    `where blue is at ${formatCount(next(blue))}: keys that are taken would come again`;
  const value = `${blue.lastValue}, ${blue.isCalled}`;
  return [
    failure(NAME, message, {
      hint: `in a migration: SELECT setval('${displayPath(green.path).replaceAll("'", "''")}', ${value})`,
    }),
  ];
}
