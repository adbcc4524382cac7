import { createHash } from 'node:crypto';

/** Numbers that follow from the seed: the same for the same client, in the same order, every time. */
export class Chance {
  readonly #seed: string;
  #drawn = 0;

  constructor(seed: number, client: number) {
    this.#seed = `${seed} ${client}`;
  }

  /** A whole number from 0 up to `below`, without it. */
  draw(below: number): number {
    this.#drawn += 1;
    return createHash('sha256').update(`${this.#seed} ${this.#drawn}`).digest().readUInt32BE() % below;
  }
}
