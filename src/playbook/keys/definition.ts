import { z } from 'zod';
import type { Registry } from '../../core/drivers/driver.ts';
import { duration, path } from '../../util/options.ts';
import { parsePath } from '../../util/sql.ts';
import { approval, bake, conduct, limit, onFailure } from './conduct.ts';
import { windows } from './window.ts';

/** The drivers that a playbook can name; any registry of core/driver.ts fits. */
export interface Registries {
  readonly targets: Registry<never, unknown>;
  readonly migrators: Registry<never, unknown>;
  readonly checks: Registry<never, unknown>;
  /** Checks of the bake. */
  readonly bake: Registry<never, unknown>;
  readonly notices: Registry<never, unknown>;
}

/** The parts that are validated by hand, entry by entry; the JSON Schema describes them in full. */
export interface Slots {
  readonly blue: z.ZodType;
  readonly green: z.ZodType;
  readonly migrator: z.ZodType;
  readonly check: z.ZodType;
  readonly target: z.ZodType;
  readonly baked: z.ZodType;
  readonly notice: z.ZodType;
}

export const VERIFY_BY_DEFAULT = ['schema', 'row-counts', 'checksums', 'sequences'] as const;

const missing = (what: string, otherwise?: string) => (issue: { input: unknown }) =>
  issue.input === undefined ? `missing; write ${what}` : otherwise;

const NAME = /^[A-Za-z0-9._-]{1,40}$/;
const DATABASE = /^[^\p{Cc}]+$/u;

/** A plain database name. */
export const databaseName = () =>
  z.string().superRefine((name, context) => {
    if (/:\/\/|^\s*\w+\s*=/.test(name)) {
      context.addIssue({
        code: 'custom',
        message: 'write only the name of a database, as in "shop_green"',
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
        'pause-budget': limit()
          .prefault('1s')
          .describe('With sync: how long clients may be held; when it runs out, everything is put back.'),
        'pause-retries': z
          .strictObject({
            limit: z.int().min(0).max(100).prefault(3).describe('How often the switch is tried again.'),
            wait: limit().prefault('10s').describe('How long clients go on in between.'),
          })
          .prefault({})
          .describe('With sync: what happens when the pause budget has run out.'),
      },
      { error: missing('switch: { targets: [ … ] }') },
    )
    .describe('The switch of the clients from blue to green.');

/** A server that the tool starts by itself. */
export const embedded = () =>
  z.strictObject({
    fixture: path().optional().describe('Folder of a fixture that is loaded when the database is not there.'),
    database: databaseName().optional().describe('Default: the database of fixture.yml, or "blue".'),
    stay: z.boolean().prefault(false).describe('The server goes on running when the command ends.'),
  });

/** Every key of a playbook, in the order in which people write them. */
export const definition = ({ blue, green, migrator, check, target, notice, baked }: Slots) =>
  z.strictObject({
    version: z
      .literal(1, { error: missing('version: 1', 'must be 1, the only version of playbooks so far') })
      .describe('Version of the playbook format.'),
    name: z
      .string({ error: missing('name: …, a short name for this cutover') })
      .regex(NAME, { error: 'must be 1 to 40 letters, digits, ".", "_" or "-"' })
      .describe('Names the cutover in reports; letters, digits, ".", "_" and "-".'),
    blue,
    green,
    clone: z
      .strictObject({
        method: z
          .enum(['template', 'dump'])
          .optional()
          .describe(
            "template: on blue's server (the default there). dump: pg_dump | pg_restore, to any server.",
          ),
        strategy: z.enum(['auto', 'wal-log', 'file-copy']).prefault('auto'),
        pause: limit()
          .prefault('5s')
          .describe('With sync: how long clients may be held while a template clone is made.'),
      })
      .prefault({})
      .describe('How the copy is made.'),
    sync: z
      .union([
        z.enum(['none', 'logical']),
        z.strictObject({
          method: z.literal('logical'),
          'without-identity': z
            .enum(['refuse', 'full'])
            .prefault('refuse')
            .describe(
              'Tables without a key: refuse, or give them REPLICA IDENTITY FULL for the time of the run.',
            ),
        }),
      ])
      .prefault('none')
      .describe(
        'How writes on blue reach green after the clone. none: blue is closed to clients meanwhile; logical: they go on, and logical replication brings their writes over.',
      ),
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
    'on-failure': onFailure(),
    window: windows(),
    notify: z
      .array(notice)
      .nullable()
      .prefault([])
      .describe('Who is told when a run starts, waits, switches, fails or is swapped back.'),
    approval: approval(),
    switch: switchover(target),
    bake: bake(baked),
  });
