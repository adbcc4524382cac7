import type { Way } from '../../../../core/database/live.ts';
import { other, type Side } from '../../../../core/side.ts';

/** Schema of the marker table and of the fence's function, on both sides for as long as one follows the other. */
export const OWN_SCHEMA = 'cutover_sync';
export const MARKER = `${OWN_SCHEMA}.marker`;
export const FENCE_FUNCTION = `${OWN_SCHEMA}.refuse`;
export const FENCE_TRIGGER = 'cutover_fence';
export const FENCE_TRUNCATE = 'cutover_fence_truncate';

/** Name of the publication and the slot on `from`, and of the subscription on `to`. */
export const wayName = (run: string, { to }: Pick<Way, 'to'>): string =>
  `cutover_${run.replaceAll('-', '_')}_to_${to}`;

/** Names of all runs' publications, as a LIKE pattern. */
export const WAY_PATTERN = String.raw`cutover\_2%\_to\_%`;

export const schemaComment = (run: string): string => `cutover run=${run} (the schema goes with the run)`;

/** The run that a schema of ours belongs to. */
export const runOfSchema = (comment: string | null | undefined): string | undefined =>
  /^cutover run=([\w-]+) /.exec(comment ?? '')?.[1];

/** The way that leads back. */
export const back = ({ from, to }: Way): Way => ({ from: to, to: from });

export const wayTo = (to: Side): Way => ({ from: other(to), to });
