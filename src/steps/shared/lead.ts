import { AwayError } from '../../core/errors.ts';
import type { Way } from '../../core/live.ts';
import type { StepContext } from '../../core/step.ts';
import { flipTogether, takesClients } from './swap.ts';

type Named = StepContext['targets'];

/** What holds clients, where it is itself that leads them to a side. */
const holding = ({ targets, plan }: StepContext): Named =>
  plan.renames ? [] : targets.filter(({ target }) => target.hold !== undefined);

/**
 * What holds clients is led to the other side while the last changes are on their way there. Nobody gets through it
 * meanwhile, and both sides are closed to everybody: until ownership has moved it is led back as if nothing had been.
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

  /** Something may lead to the other side. */
  get ahead(): boolean {
    return this.#leading !== undefined;
  }

  /** Repeatable; does nothing where nothing was begun. */
  async back(): Promise<void> {
    // What is still on its way there would come after it.
    await this.#leading?.catch(() => undefined);
    if (this.#leading) await leadBack(this.#context, this.#way);
    this.#leading = undefined;
  }
}

/** Leads what holds clients to where they were; one that does not run will read its file. */
async function leadBack(context: StepContext, { from, to }: Way): Promise<void> {
  const led = await Promise.allSettled(holding(context).map(({ target }) => target.switch(to, from)));
  for (const each of led)
    if (each.status === 'rejected' && !(each.reason instanceof AwayError)) throw each.reason as Error;
}

/**
 * After a process that died before ownership had moved: leads back what it had led ahead. Says whether all is as if it had
 * not; otherwise nothing was done, for somebody else was at it, and clients may be on the other side.
 */
export async function undoLead(context: StepContext, way: Way): Promise<boolean> {
  const { plan, targets, database } = context;
  if (!plan.live || plan.renames || takesClients(await database.state(way.to))) return false;
  const held = holding(context);
  for (const each of targets)
    if (!held.includes(each) && (await each.target.current()) !== way.from) return false;
  await leadBack(context, way);
  return true;
}
