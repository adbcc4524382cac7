/** Ties a database to the run that made it or set it aside; kept as its comment. */
export interface Mark {
  readonly run: string;
  /** `copy`: made by the run and not live. `previous`: was live before the run's last switch. */
  readonly as: 'copy' | 'previous';
}
