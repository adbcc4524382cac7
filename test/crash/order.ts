/** What happens at a point. `server`: it is stopped at once. `cut`: the server ends the tool's sessions. `disk`: the
 * journal's disk is full from there on. */
export type Fault = 'kill' | 'server' | 'cut' | 'disk';
export type Moment = 'before' | 'after';

/** What the preload does in the process under test. */
export interface Order {
  /** File that gets the name of each point as it is reached. */
  readonly record?: string;
  readonly fault?: Fault;
  readonly point?: string;
  /** The n-th effect of all, whatever it is called. */
  readonly nth?: number;
  readonly side?: Moment;
  /** Half of the journal's line is there when the process dies. */
  readonly torn?: boolean;
  /** Blue's name, which is another one in each scene. */
  readonly database: string;
  /** A file that says afterwards whether the point was reached. */
  readonly struck: string;
  /** The server's postmaster.pid. */
  readonly postmaster: string;
  readonly url: string;
}
