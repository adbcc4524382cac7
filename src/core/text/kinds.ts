/** A sort of text, and what is too much for one: deeper or larger is an attack, or the wrong file. */
export interface TextKind {
  readonly noun: 'playbook' | 'fixture' | 'env file';
  /** What stands in its first lines. */
  readonly begins: string;
  readonly limits: {
    readonly bytes: number;
    readonly lexemes: number;
    readonly depth: number;
    readonly values: number;
    /** Characters of one word. */
    readonly text: number;
  };
}

const limits = { bytes: 1_000_000, lexemes: 50_000, depth: 40, values: 20_000, text: 20_000 };

export const PLAYBOOK: TextKind = { noun: 'playbook', begins: '"version: 1" and "name: …"', limits };
export const ENV_FILE: TextKind = { noun: 'env file', begins: '"NAME=value"', limits };
/** It may list every column of a large database. */
export const FIXTURE: TextKind = {
  noun: 'fixture',
  begins: '"database: shop" and "load: [schema.sql]"',
  limits: { bytes: 20_000_000, lexemes: 1_000_000, depth: 40, values: 400_000, text: 1_000_000 },
};
