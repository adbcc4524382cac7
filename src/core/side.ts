/** Blue is the database that is live when a run begins, green is its copy. The words never change sides. */
export type Side = 'blue' | 'green';

export const other = (side: Side): Side => (side === 'blue' ? 'green' : 'blue');

/** The command that makes a side live after a run has switched. */
export const commandTo = (side: Side): 'swap-back' | 'switch' => (side === 'blue' ? 'swap-back' : 'switch');
