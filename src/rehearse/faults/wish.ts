import { UsageError } from '../../core/errors.ts';
import type { Planted } from '../take.ts';

const KINDS = ['kill', 'cut', 'crash', 'refuse', 'full', 'slow', 'tamper', 'migration'] as const;
export type Kind = (typeof KINDS)[number];

/** Those that are planted before the run, and belong to no step. */
const PLANTED: readonly Kind[] = ['tamper', 'migration'];

/** Those for which a take is prepared. */
const PREPARED: readonly Planted[] = ['tamper', 'migration', 'full', 'slow'];

/** Something that goes wrong at the beginning of a step. */
export interface Fault {
  readonly kind: Kind;
  /** Undefined for what belongs to no step. */
  readonly step: string | undefined;
}

/** What a take has to be prepared with for a fault. */
export const plantedBy = ({ kind }: Fault): Planted | undefined => PREPARED.find((one) => one === kind);

/** A kind at every step where it makes sense, or at one: `kill`, `cut@switch`. */
export interface FaultWish {
  readonly kind: Kind;
  readonly step: string | undefined;
}

export function readFaults(text: string): FaultWish[] {
  return text.split(',').map((each) => {
    const [name, step] = each.trim().split('@');
    const kind = KINDS.find((one) => one === name);
    if (!kind || (PLANTED.includes(kind) && step !== undefined))
      throw new UsageError(`--faults names ${each.trim()}, which is none`, {
        hint: `there are ${KINDS.join(', ')}; at one step: kill@clone`,
      });
    return { kind, step };
  });
}

/** Every fault of a run with these steps. Throws UsageError for a step that is not there. */
export function faultsOf(wishes: readonly FaultWish[], steps: readonly string[]): Fault[] {
  return wishes.flatMap(({ kind, step }): Fault[] => {
    if (step !== undefined && !steps.includes(step))
      throw new UsageError(`--faults names the step ${step}, which this plan does not have`, {
        hint: `its steps are ${steps.join(', ')}`,
      });
    if (step !== undefined) return [{ kind, step }];
    // Once is enough.
    if (PLANTED.includes(kind)) return [{ kind, step: undefined }];
    // Behind the switch nobody wants anything of a target.
    const until = kind === 'refuse' ? steps.indexOf('switch') + 1 : steps.length;
    return steps.slice(0, until).map((each) => ({ kind, step: each }));
  });
}

/** Those that would happen to everybody on a server, or need to know the way to it. */
const OWN: readonly Kind[] = ['crash', 'full', 'slow'];
/** Of them those that cannot be made to happen in a container from outside. */
const OUTSIDE: readonly Kind[] = ['full', 'slow'];

/** The first that needs servers which are started for it, or other ones than in `containers`. */
export const needsOwnServers = (wishes: readonly FaultWish[], containers = false): Kind | undefined =>
  wishes.find(({ kind }) => (containers ? OUTSIDE : OWN).includes(kind))?.kind;

/** As `--faults` names it. */
export const nameOf = ({ kind, step }: Fault): string => (step === undefined ? kind : `${kind}@${step}`);
