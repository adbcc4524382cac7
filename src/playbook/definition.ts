import { z } from 'zod';
import type { Registry } from '../core/driver.ts';
import { duration, path } from '../util/options.ts';
import { parsePath } from '../util/sql.ts';
import { conduct } from './conduct.ts';

/** The drivers that a playbook can name; any registry of core/driver.ts fits. */
export interface Registries {
  readonly targets: Registry<never, unknown>;
  readonly migrators: Registry<never, unknown>;
  readonly checks: Registry<never, unknown>;
}

/** The parts that are validated by hand, entry by entry; the JSON Schema describes them in full. */
export interface Slots {
  readonly blue: z.ZodType;
  readonly migrator: z.ZodType;
  readonly check: z.ZodType;
  readonly target: z.ZodType;
}

export const VERIFY_BY_DEFAULT = ['schema', 'row-counts', 'checksums', 'sequences'] as const;

const missing = (what: string, otherwise?: string) => (issue: { input: unknown }) =>
  issue.input === undefined ? `missing; write ${what}` : otherwise;

const only = <const T extends string>(value: T) =>
  z.literal(value, { error: `this version has only "${value}"; write ${value}, or take the line away` });

const NAME = /^[A-Za-z0-9._-]{1,40}$/;
const DATABASE = /^[^\p{Cc}]+$/u;

/** A plain database name on blue's server. */
export const databaseName = () =>
  z.string().superRefine((name, context) => {
    if (/:\/\/|^\s*\w+\s*=/.test(name)) {
      context.addIssue({
        code: 'custom',
        message:
          'another server is not supported by this version; write only the name of a database on blue\'s server, as in "shop_green"',
      });
    } else if (!DATABASE.test(name) || Buffer.byteLength(name) > 63) {
      context.addIssue({
        code: 'custom',
        message: 'must be the name of a database: at most 63 bytes, no control characters',
      });
    }
  });

const QUALIFIED = 'write the name with its schema, as in "public.shops" or "public.shops.tier"';
const isQualified = (name: string): boolean => [2, 3].includes(parsePath(name)?.length ?? 0);

const objectName = () => z.string().refine(isQualified, { error: QUALIFIED });

/** `public.shops`, or with the kind of object before it: `index public.shops_plan_idx`. */
const objectOfKind = () =>
  z.string().refine((text) => isQualified(text.replace(/^(?:[a-z]+ ){1,3}(?=\S)/, '')), { error: QUALIFIED });

const expectations = () =>
  z
    .strictObject({
      renamed: z
        .record(objectName(), objectName())
        .superRefine((names, context) => {
          for (const [old, renamed] of Object.entries(names))
            if (parsePath(old)?.length !== parsePath(renamed)?.length)
              context.addIssue({
                code: 'custom',
                path: [old],
                message: "a table's new name is a table, and a column's is a column: write both in full",
              });
        })
        .prefault({})
        .describe('Old name → new name, of tables (public.a) and columns (public.a.x).'),
      dropped: z.array(objectOfKind()).prefault([]).describe('Objects that are not on green any more.'),
      changed: z
        .array(objectOfKind())
        .prefault([])
        .describe('Objects whose definition differs on purpose; their rows are compared all the same.'),
    })
    .describe('What the migrations take away or change; everything else must be on green as it is on blue.');

const switchover = (target: z.ZodType) =>
  z
    .strictObject(
      {
        targets: z
          .array(target, { error: missing('a list of targets, as in "- env-file: { … }"') })
          .min(1, { error: 'must name at least one target: what is pointed at green?' })
          .describe('What decides where clients go; all of them are switched together.'),
        'long-transactions': z
          .strictObject({
            wait: duration().prefault('10s'),
            // oxlint-disable-next-line unicorn/no-thenable -- the playbook's word; it holds no function
            then: z.enum(['refuse', 'end']).prefault('refuse'),
          })
          .prefault({})
          .describe('How long the switch waits for open transactions, and what it does then.'),
      },
      { error: missing('switch: { targets: [ … ] }') },
    )
    .describe('The switch of the clients from blue to green.');

/** A server that the tool starts by itself. */
export const embedded = () =>
  z.strictObject({
    fixture: path().optional().describe('Folder of a fixture that is loaded when the database is not there.'),
    database: databaseName().optional().describe('Default: the database of fixture.json, or "blue".'),
    stay: z.boolean().prefault(false).describe('The server goes on running when the command ends.'),
  });

/** Every key of a playbook, in the order in which people write them. */
export const definition = ({ blue, migrator, check, target }: Slots) =>
  z.strictObject({
    version: z
      .literal(1, { error: missing('version: 1', 'must be 1, the only version of playbooks so far') })
      .describe('Version of the playbook format.'),
    name: z
      .string({ error: missing('name: …, a short name for this cutover') })
      .regex(NAME, { error: 'must be 1 to 40 letters, digits, ".", "_" or "-"' })
      .describe('Names the cutover in reports; letters, digits, ".", "_" and "-".'),
    blue,
    green: databaseName()
      .optional()
      .describe("The copy's name on blue's server; default: blue's name with _green behind it."),
    clone: z
      .strictObject({
        method: only('template').prefault('template'),
        strategy: z.enum(['auto', 'wal-log', 'file-copy']).prefault('auto'),
      })
      .prefault({})
      .describe('How the copy is made.'),
    sync: only('none')
      .prefault('none')
      .describe('How writes on blue reach green after the clone: none, blue is closed to clients meanwhile.'),
    migrate: z
      .array(migrator)
      .nullable()
      .prefault([])
      .describe('What brings green to the new schema, in order.'),
    verify: z
      .array(check)
      .optional()
      .describe(`What must hold before the switch; default: ${VERIFY_BY_DEFAULT.join(', ')}.`),
    expect: expectations().prefault({}),
    ...conduct(),
    switch: switchover(target),
  });
