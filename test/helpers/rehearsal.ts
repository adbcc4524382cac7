import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { root, type Outcome } from './cli.ts';

export const playbook = (name: string): string => join(root, 'playbooks', name);
export const fixture = (name: string): string => join(root, 'fixtures', name);

export interface Verdict {
  readonly good: boolean;
  readonly commands: { words: string[]; code: number | null; ms: number }[];
  readonly clients: { errors: number; transactions: number; acknowledged: number };
  readonly findings: { check: string; severity: string; message: string; detail?: string }[];
  readonly held: { what: string; ms: number }[];
  readonly without: string[];
}

export const verdictOf = ({ out, err }: Outcome): Verdict => {
  try {
    return JSON.parse(out) as Verdict;
  } catch {
    throw new Error(`no verdict: ${err}`);
  }
};

/** The commands of a rehearsal, in their order. */
export const LIVE = ['run', 'swap-back', 'switch', 'verify', 'retire'];
export const CLOSED = ['run', 'swap-back', 'retire', 'run', 'retire'];

/** Every promise was kept. */
export function assertKept(t: ExecutionContext, outcome: Outcome, commands: readonly string[]): Verdict {
  t.is(outcome.code, 0, outcome.err + outcome.out);
  const verdict = verdictOf(outcome);
  t.true(verdict.good);
  t.deepEqual(
    verdict.commands.map(({ words }) => words[0]),
    commands,
  );
  t.true(verdict.clients.acknowledged > 50);
  return verdict;
}
