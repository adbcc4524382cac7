import { AwayError } from '../../core/errors.ts';
import type { Way } from '../../core/database/live.ts';
import type { StepContext } from '../../core/step.ts';
import { flipTogether } from '../shared/swap.ts';

type Named = StepContext['targets'];

/** What holds clients, where it is itself that leads them to a side. */
const holding = ({ targets, plan }: StepContext): Named =>
  plan.renames ? [] : targets.filter(({ target }) => target.hold !== undefined);

/**
 * What holds clients is led to the other side while this one is closed and the last changes are on their way. Nobody gets
 * through it meanwhile, and the other side is closed to everybody: until ownership has moved it is led back as if nothing
 * had been.
 */
export class Lead {
  readonly #context: StepContext;
  readonly #way: Way;
  #leading: Promise<void> | undefined;

  constructor(context: StepContext, way: Way) {
    this.#context = context;
    this.#way = way;
  }

  begin(): Promise<void> {
    const { from, to } = this.#way;
    this.#leading = flipTogether({ targets: holding(this.#context) }, from, to);
    return this.#leading;
  }

  /** Targets that are still to be moved. */
  get rest(): Named {
    const led = this.#leading ? holding(this.#context) : [];
    return this.#context.targets.filter((each) => !led.includes(each));
  }

  /** Repeatable; does nothing where nothing was begun. */
  async back(): Promise<void> {
    if (!this.#leading) return;
    // What is still on its way there would come after it. How that ends was told to whoever began it, and is taken back.
    await Promise.allSettled([this.#leading]);
    await leadBack(this.#context, this.#way);
    this.#leading = undefined;
  }
}

/** Leads what holds clients to where they were; one that does not run will read its file. Repeatable. */
export async function leadBack(context: StepContext, { from, to }: Way): Promise<void> {
  const led = await Promise.allSettled(holding(context).map(({ target }) => target.switch(to, from)));
  for (const each of led)
    if (each.status === 'rejected' && !(each.reason instanceof AwayError)) throw each.reason as Error;
}

/**
 * After a process that died before ownership had moved: what holds clients may be at the other side, which is only ever so
 * while that is closed to everybody. Who opened it since may have writes there, and is not overruled: false.
 */
export async function mayBeLedAhead({ plan, database }: StepContext, way: Way): Promise<boolean> {
  return plan.live !== undefined && !plan.renames && (await database.state(way.to))?.closed === true;
}

/** Leads back what a process that died had led ahead; false when it may not be so. */
export async function undoLead(context: StepContext, way: Way): Promise<boolean> {
  if (!(await mayBeLedAhead(context, way))) return false;
  await leadBack(context, way);
  return true;
}
