import type { Finding } from '../core/drivers/check.ts';
import { messageOf, RefusedError } from '../core/errors.ts';
import type { Step, StepContext } from '../core/step.ts';
import { formatBytes, formatCount, plural } from '../util/units.ts';
import { lookAtChecks, lookAtFacts } from './preflight/conditions.ts';

/** Every condition before anything moves. Looks, and changes nothing. */
export const preflight: Step = {
  kind: 'preflight',
  async run(context) {
    const facts = await context.facts();
    const findings = withoutEchoes([
      ...lookAtFacts(facts, context.plan),
      ...lookAtChecks(context.plan.verify),
      ...(await lookAtTargets(context.targets)),
    ]);
    const failures = findings.filter(({ severity }) => severity === 'failure');
    if (failures.length > 0) {
      throw new RefusedError(
        `${plural(failures.length, 'condition')} for a cutover ${failures.length === 1 ? 'is' : 'are'} not met`,
        {
          findings,
          hint: 'nothing was touched; mend what is listed and run again',
        },
      );
    }
    const { tables, estimatedRows, bytes } = facts.blue;
    return {
      findings,
      summary: `${plural(tables, 'table')}, about ${formatCount(estimatedRows)} rows, ${formatBytes(bytes)}`,
    };
  },
  probe: () => Promise.resolve('absent'),
  undo: () => Promise.resolve(undefined),
};

/** Whether every target is where it should be, and can be moved. */
export async function lookAtTargets(targets: StepContext['targets']): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, target } of targets) {
    try {
      await target.prepare('blue', 'green');
    } catch (error) {
      const { hint, where } = error as { hint?: string; where?: string };
      findings.push({
        check: `target ${name}`,
        severity: 'failure',
        message: where === undefined ? messageOf(error) : `${where}: ${messageOf(error)}`,
        ...(hint === undefined ? {} : { hint }),
      });
    }
  }
  return findings;
}

/** A name that is taken is one finding: what a target says of it besides would be other advice for the same thing. */
export const withoutEchoes = (findings: readonly Finding[]): Finding[] =>
  findings.some(({ check, severity }) => check === 'names' && severity === 'failure')
    ? findings.filter(({ check }) => check !== 'target database-rename')
    : [...findings];
