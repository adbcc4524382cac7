import type { SideState } from '../../core/database/database.ts';
import { RefusedError } from '../../core/errors.ts';
import type { LivePlan, PlannedStep } from '../../core/plan.ts';
import type { StepKind } from '../../core/step-kind.ts';
import type { RunState, StepPhase } from '../../journal/fold.ts';
import { steps as registry } from '../../steps/registry.ts';
import { letClientsOn } from '../../steps/shared/clients.ts';
import { uninterrupted } from '../../steps/shared/control.ts';
import { assertNotLive } from '../../steps/shared/not-live.ts';
import { isUntouched, type FenceOutput } from '../../steps/shared/proof.ts';
import { proofOf } from '../../steps/switch.ts';
import { contextOf, type Execution } from '../engine/execution.ts';

/** What was found out, a line each, for the journal and for people. */
type Found = string[];

/**
 * The first step that has to be executed, when ownership is with blue: by what the server says, and never by the
 * journal alone. What cannot be made sure of is done anew.
 */
export async function whereToGoOn(execution: Execution, state: RunState, found: Found): Promise<PlannedStep> {
  const look = new Look(execution, state, found);
  await look.assertBlue();
  const { live } = execution.plan;
  return live ? look.firstLive(live) : look.first();
}

class Look {
  readonly #execution: Execution;
  readonly #state: RunState;
  readonly #found: Found;

  constructor(execution: Execution, state: RunState, found: Found) {
    this.#execution = execution;
    this.#state = state;
    this.#found = found;
  }

  /** Another run may have had blue since, after somebody opened it by hand. */
  async assertBlue(): Promise<void> {
    const { drivers, plan } = this.#execution;
    const blue = await drivers.database.state('blue');
    if (blue?.name === plan.names.blue && !blue.mark) return;
    throw new RefusedError(
      blue
        ? `database ${blue.name} is not what it was when run ${plan.run} began: ${blue.mark ? `run ${blue.mark.run} keeps it` : 'it was renamed'}`
        : `blue of run ${plan.run} is not on the server any more`,
      { hint: `nothing can be gone on with; to take back what is left: cutover abort ${plan.run}` },
    );
  }

  /** Of a run that follows blue: blue goes on all the time, and the slot keeps what was written meanwhile. */
  async firstLive({ follow }: LivePlan): Promise<PlannedStep> {
    const { live } = this.#execution.drivers.database;
    const next = this.#steps.find((step) => this.#phase(step) !== 'done')!;
    const publish = this.#step('publish');
    const line = await letClientsOn(contextOf(this.#execution, publish));
    if (line) this.#found.push(line);
    if (!this.#isBefore(publish, next)) return this.#earliest(next, this.#restart());
    const lost = (await live.isPublished()) ? await this.#lost() : [publish];
    const again = [this.#step('clone'), publish];
    if (lost.some((step) => again.includes(step)) || !this.#isBefore(this.#step('clone'), next)) {
      this.#found.push('the copy is made anew');
      await live.forget(follow, 'blue');
      return this.#restart();
    }
    // What follows is asked anew by the step itself, and proof is never taken over.
    return this.#earliest(next, this.#step('sync'), ...lost);
  }

  async first(): Promise<PlannedStep> {
    const { database } = this.#execution.drivers;
    const fence = this.#step('fence');
    const next = this.#steps.find((step) => this.#phase(step) !== 'done')!;
    if (!this.#isBefore(fence, next)) return this.#earliest(next, this.#restart());
    await assertNotLive(contextOf(this.#execution, fence));
    const sides = { blue: await database.state('blue'), green: await database.state('green') };
    const verify = this.#step('verify');
    if (isUntouched(sides, proofOf(contextOf(this.#execution, verify)))) {
      this.#found.push('both sides are closed, as they were when they were verified');
      return next;
    }
    if (!this.#fenceStands(sides.blue)) return this.#restart();
    const from = this.#earliest(next, verify, ...(await this.#lost()));
    // Blue must be read once more. A clone that is made anew has whatever slips in meanwhile; one that stands has not.
    const certain = await this.#reenter();
    return certain || !this.#isBefore(this.#step('clone'), from) ? from : fence;
  }

  /**
   * Where all begins anew: the first step that does something, hooks included. A process that could not write its
   * journal any more may have taken them back and opened blue.
   */
  #restart(): PlannedStep {
    return this.#steps[this.#steps.indexOf(this.#step('preflight')) + 1]!;
  }

  /** Blue is as it was when it was closed: what was cloned from it is still what it is. */
  #fenceStands(blue: SideState | undefined): boolean {
    const output = this.#execution.outputs.get(this.#step('fence').id) as FenceOutput | undefined;
    const stands = blue?.closed === true && blue.version === output?.version;
    this.#found.push(
      stands
        ? 'blue is closed since the fence'
        : blue?.closed
          ? 'blue was altered, and perhaps opened, since the fence: it is cloned anew'
          : 'blue accepts connections: it is closed and cloned anew',
    );
    return stands;
  }

  /** Steps of the copy whose effect is not certainly there. */
  async #lost(): Promise<PlannedStep[]> {
    const clone = this.#step('clone');
    if (this.#phase(clone) !== 'done') return [];
    if ((await registry.clone.probe(contextOf(this.#execution, clone))) !== 'done') {
      this.#found.push('the copy is not as it was left: it is made anew');
      return [clone];
    }
    const { database, migrators } = this.#execution.drivers;
    if ((await database.state('green'))?.closed) await database.open('green', 'copy');
    const lost: PlannedStep[] = [];
    for (const [index, step] of this.#steps.filter(({ kind }) => kind === 'migrate').entries()) {
      const phase = this.#phase(step);
      if (phase === 'waiting') break;
      const probe = await registry.migrate.probe(contextOf(this.#execution, step));
      // A tool that keeps no books is believed when it ended well.
      const believed = phase === 'done' && migrators[index]!.repeatable !== true;
      if (probe === 'done' || (probe === 'unknown' && believed)) continue;
      const goesOn = probe === 'absent' && phase !== 'done';
      lost.push(goesOn ? step : clone);
      this.#found.push(
        goesOn
          ? `${step.id} was under way: it goes on with what is pending`
          : `it cannot be told how far ${step.id} came: the copy is made anew`,
      );
    }
    return lost;
  }

  async #reenter(): Promise<boolean> {
    const { database } = this.#execution.drivers;
    const fence = this.#step('fence');
    const certain = await database.reenter('blue', uninterrupted(contextOf(this.#execution, fence)));
    const output: FenceOutput = { version: (await database.state('blue'))!.version };
    this.#execution.outputs.set(fence.id, output);
    if (!certain) this.#found.push('others wrote to the server while the tool got into blue again');
    return certain;
  }

  get #steps(): readonly PlannedStep[] {
    return this.#execution.plan.steps;
  }

  #step(kind: StepKind): PlannedStep {
    return this.#steps.find((step) => step.kind === kind)!;
  }

  #phase(step: PlannedStep): StepPhase {
    return this.#state.steps[step.id]!.phase;
  }

  #isBefore(one: PlannedStep, other: PlannedStep): boolean {
    return this.#steps.indexOf(one) < this.#steps.indexOf(other);
  }

  #earliest(...steps: PlannedStep[]): PlannedStep {
    return steps.reduce((first, step) => (this.#isBefore(step, first) ? step : first));
  }
}
