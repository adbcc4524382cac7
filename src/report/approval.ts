import type { RunApproval } from '../core/approval.ts';
import type { Playbook } from '../core/playbook.ts';
import type { Standing } from '../run/approval/standing.ts';
import { redact } from '../util/redact.ts';

const MODES = { none: 'none', required: 'required', 'on-warnings': 'required when the preflight warns' };

/** What a run would do about the approval; undefined when blue was not asked. */
type Need = 'needed' | 'not needed' | undefined;

/** How it stands with the approval of a playbook, in a line or a few. */
export function standingText(
  { approval: mode }: Pick<Playbook, 'approval'>,
  { approval, reasons }: Standing,
  need: Need,
): string {
  const head = `approval ${MODES[mode]}${need === 'not needed' ? ', which it does not' : ''}`;
  const given = approval ? `given by ${approval.by} until ${approval.until}` : undefined;
  const asked =
    need === undefined ? 'if blue is as it was then; cutover plan asks it' : 'and nothing changed';
  const lines = reasons.length === 0 ? [`it holds, ${asked}`] : ['it does not hold:', ...reasons];
  if (given === undefined) return redact([head, ...reasons].join(': '));
  return redact([`${head}: ${given}`, ...lines.map((line) => `  ${line}`)].join('\n'));
}

/** The same as data. */
export const standingData = ({ approval, reasons }: Standing, need: Need) => ({
  needed: need === 'needed',
  holds: reasons.length === 0,
  by: approval?.by ?? null,
  until: approval?.until ?? null,
  reasons: reasons.map((reason) => redact(reason)),
});

/** An approval of a list, whose playbook and blue were not looked at. */
export interface Listed {
  readonly name: string;
  readonly standing: Standing;
}

/** Approvals, a line each and what speaks against them. */
export function approvalsText(listed: readonly Listed[]): string {
  if (listed.length === 0) return 'There are no approvals here.';
  const width = Math.max(...listed.map(({ name }) => name.length));
  const lines = listed.flatMap(({ name, standing: { approval, reasons } }) => {
    const given = approval
      ? `given by ${approval.by} at ${approval.at} until ${approval.until}${approval.signature === undefined ? '' : ', signed'}`
      : 'not readable';
    const verdict =
      reasons.length === 0
        ? ['  holds; whether the playbook and blue are as they were was not checked']
        : ['  does not hold:', ...reasons.map((reason) => `    ${reason}`)];
    return [`${name.padEnd(width)}   ${given}`, ...verdict];
  });
  return redact(lines.join('\n'));
}

/** The same as data. */
export const approvalsData = (listed: readonly Listed[]) =>
  listed.map(({ name, standing: { approval, reasons } }) => ({
    name,
    holds: reasons.length === 0 ? ('not checked' as const) : false,
    by: approval?.by ?? null,
    at: approval?.at ?? null,
    until: approval?.until ?? null,
    signed: approval?.signature !== undefined,
    reasons: reasons.map((reason) => redact(reason)),
  }));

/** Who allowed a run beforehand, as a part of a sentence; empty when nobody had to. */
export const allowedBy = (approval: RunApproval | undefined): string =>
  approval ? `, approved by ${approval.by}${approval.signed ? ' (signed)' : ''}` : '';
