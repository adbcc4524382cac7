import { StepError } from '../../core/errors.ts';
import type { StepContext } from '../../core/step.ts';
import type { PublishOutput } from '../publish.ts';

/** Throws StepError when blue's schema is not what it was when green began to follow: green has not heard of it. */
export async function refuseDrift(context: StepContext): Promise<void> {
  const { fingerprint } = context.outputOf('publish') as PublishOutput;
  if ((await context.database.live.fingerprint('blue')) === fingerprint) return;
  const changes = await context.database.live.changes('blue');
  throw new StepError(`the schema of ${context.plan.names.blue} was changed since the copy was made`, {
    detail: changes.length === 0 ? undefined : changes.map((line) => `  ${line}`).join('\n'),
    hint: 'replication does not carry such changes over, so that green lacks it: run again when nobody changes the schema',
  });
}
