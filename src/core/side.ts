/** Blue is the database that is live when a run begins, green is its copy. The words never change sides. */
export type Side = 'blue' | 'green';

export const other = (side: Side): Side => (side === 'blue' ? 'green' : 'blue');
