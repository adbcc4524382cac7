import type { StepKind } from '../core/step-kind.ts';
import type { Step } from '../core/step.ts';
import { bake } from './bake.ts';
import { clone } from './clone.ts';
import { fence } from './fence.ts';
import { gate } from './gate.ts';
import { hook } from './hook.ts';
import { keep } from './keep.ts';
import { migrate } from './migrate.ts';
import { publish } from './publish.ts';
import { sync } from './sync.ts';
import { preflight } from './preflight.ts';
import { switchStep } from './switch.ts';
import { verify } from './verify.ts';

/** Everything that a plan can be made of. */
export const steps: Readonly<Record<StepKind, Step>> = {
  preflight,
  publish,
  fence,
  clone,
  migrate,
  sync,
  verify,
  gate,
  switch: switchStep,
  keep,
  bake,
  hook,
};
