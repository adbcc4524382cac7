export interface Estimate {
  /** Milliseconds. */
  readonly ms: number;
  /** What the figure rests on, in words. */
  readonly basis: string;
}
