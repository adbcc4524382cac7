import { codeOf, DifferencesError, InterruptedError, RefusedError, StuckError } from './errors.ts';
import type { StepKind } from './step-kind.ts';

/** What a step that is begun anew may rest on. */
interface Facts {
  /** The step's work notes what it has done, and goes on from there. */
  readonly repeatable: boolean;
}

const LOCKS = { '55P03': 'a lock was not to be had in time', '40P01': 'a deadlock' } as const;
const CROWD = { '53300': 'the server has no connection free' } as const;
const AWAY = {
  '57P01': 'the server ended the session',
  '57P02': 'the server went down',
  '57P03': 'the server is starting up or shutting down',
  '08000': 'the connection broke',
  '08003': 'the connection broke',
  '08006': 'the connection broke',
  ECONNREFUSED: 'the server did not answer',
  ECONNRESET: 'the connection broke',
  ETIMEDOUT: 'the server did not answer',
  EPIPE: 'the connection broke',
} as const;

/** The server, or the way to it, was gone for a moment. */
export function isAway(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && Object.hasOwn(AWAY, code);
}

/**
 * What may be tried again, by the kind of step and SQLSTATE or errno. A step stands here only if running it once more
 * after this failure cannot do anything twice: the preflight touches nothing; a fence, a publication, a
 * follower and a verification begin from wherever things are; a clone drops what an attempt before it left; the server rolled back a migration's
 * transaction; what comes after the switch asks, and takes away what may be gone already. A switch, a gate and a hook are
 * never tried again.
 */
const PASSING: Readonly<Record<StepKind, Readonly<Record<string, string>>>> = {
  preflight: { ...AWAY, ...CROWD },
  publish: { ...LOCKS, ...CROWD },
  fence: { ...LOCKS, ...CROWD },
  clone: { '55006': 'somebody slipped into blue', '55P03': LOCKS['55P03'], ...CROWD },
  migrate: { '40001': 'a serialization failure', ...LOCKS },
  sync: { ...LOCKS, ...CROWD },
  verify: { '40001': 'a serialization failure', ...LOCKS, ...CROWD },
  gate: {},
  switch: {},
  keep: { ...AWAY, ...LOCKS, ...CROWD },
  // A round that fails is one of several by itself.
  bake: {},
  hook: {},
};

/** Why a step that failed may be tried again; undefined when it may not. */
export function transientReason(kind: StepKind, error: unknown, facts: Facts): string | undefined {
  const final = [RefusedError, DifferencesError, StuckError, InterruptedError];
  if (final.some((type) => error instanceof type)) return undefined;
  if (kind === 'migrate' && !facts.repeatable) return undefined;
  const code = codeOf(error);
  return code !== undefined && Object.hasOwn(PASSING[kind], code) ? PASSING[kind][code] : undefined;
}
