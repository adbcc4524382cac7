/** What long work is given: how to be stopped, and whom to tell how far it is. */
export interface WorkControl {
  readonly signal: AbortSignal;
  progress(
    done: number,
    total: number,
    unit: 'bytes' | 'tables' | 'statements' | 'sessions',
    note?: string,
  ): void;
}
