import { DeclinedError, StepError } from '../core/errors.ts';
import type { GateLimit, Step } from '../core/step.ts';

/** Waits for somebody's word before the switch. */
export const gate: Step = {
  kind: 'gate',
  async run(context) {
    const question = `Switch now? ${context.plan.names.green} becomes live, ${context.plan.names.blue} is set aside`;
    await context.record({ type: 'gate-opened', step: context.step.id, question });
    const { answer, by, timeLimit } = await context.ask(question, context.step.input as GateLimit);
    await context.record({ type: 'gate-answered', step: context.step.id, answer, by });
    if (answer === 'stop') {
      const Declined = timeLimit ? StepError : DeclinedError;
      throw new Declined(`the gate was answered with no by ${by}`, { hint: 'run again when you are ready' });
    }
    return { output: { by }, summary: `answered with yes by ${by}` };
  },
  probe: () => Promise.resolve('absent'),
  undo: () => Promise.resolve(undefined),
};
