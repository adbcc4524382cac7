import type { StandIn, StandInKit } from '../../core/drivers/stand-in.ts';

interface Options {
  readonly database: string | readonly string[];
}

/** A PgBouncer of the stage with the same entries. */
export async function pgbouncerStandIn({ database }: Options, kit: StandInKit): Promise<StandIn> {
  const entries = [database].flat();
  const { admin, file, url } = await kit.pooler(entries);
  return {
    options: { admin, database, file },
    without: [
      `PgBouncer runs on the stage in transaction mode: the real one's settings, users and other parameters of ${entries.join(', ')} are not here`,
    ],
    address: async () => url(entries[0]!),
    refuse: kit.renames ? undefined : () => kit.obstruct(file),
  };
}
