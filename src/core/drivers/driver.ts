import type { z } from 'zod';
import type { StandIn, StandInKit } from './stand-in.ts';

/**
 * One kind of target, migrator or check: its name in the playbook, its options and how it is opened.
 * The options' schema, the docs page and the place in the JSON Schema all follow from this.
 */
export interface Driver<Options, Context, Live> {
  /** The key in the playbook, the file's name and the docs page's name. */
  readonly name: string;
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  /** The driver may be written as its bare name, without options. */
  readonly bare?: boolean;
  /** Options that hold a path; made absolute, seen from the playbook. */
  readonly paths?: readonly string[];
  /** Options that may hold a secret: kept as `${NAME}` references until the driver opens. */
  readonly secrets?: readonly string[];
  /** Of `secrets`, those whose plain value may be a secret by itself: a long word in it has to be a reference. */
  readonly tokens?: readonly string[];
  /** Options that are left as they are, because a shell expands them. */
  readonly verbatim?: readonly string[];
  open(options: Options, context: Context): Live;
  /** Of a target: puts in place what a rehearsal flips instead of the real thing, which is never reached. */
  standIn?(options: Options, kit: StandInKit): Promise<StandIn>;
}

/** A driver with its options as the playbook gives them: validated, defaults filled, secrets still references. */
export interface DriverUse {
  readonly driver: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** `playbook.yml:12:5`, for errors that come up later. */
  readonly at: string;
}

/** Gives the value behind a text with `${NAME}` references; throws UsageError when a name is not set. */
export type Resolve = (text: string) => string;

/** All drivers of one sort by their name in the playbook; an explicit map in one file. */
export type Registry<Context, Live> = Readonly<Record<string, Driver<unknown, Context, Live>>>;
