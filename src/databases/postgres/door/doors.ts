import type { Mark } from '../../../core/database/mark.ts';
import type { LongTransactions } from '../../../core/playbook.ts';
import type { Side } from '../../../core/side.ts';
import type { WorkControl } from '../../../core/work.ts';
import { formatMark } from '../copy/mark.ts';
import type { Readers } from '../reading/readers.ts';
import type { Sides } from '../sides.ts';
import { closeDatabase, openDatabase } from './fence.ts';
import { reenterClosed } from './reenter.ts';
import { renameTogether } from './rename.ts';

/** Who gets into the sides' databases, and by which name. */
export class Doors {
  readonly #sides: Sides;
  readonly #readers: Readers;
  readonly #run: string;

  constructor(sides: Sides, readers: Readers, run: string) {
    this.#sides = sides;
    this.#readers = readers;
    this.#run = run;
  }

  async close(side: Side, long: LongTransactions, control: WorkControl): Promise<void> {
    const found = await this.#sides.found(side);
    // The reader must be there before the door closes; afterwards nobody gets in, the tool neither.
    const reader = found.open ? await this.#readers.of(side, this.#sides) : this.#readers.get(side);
    const ownPids = [...(reader ? [reader.connection.pid] : []), ...this.#sides.pids()];
    await closeDatabase({
      admin: await this.#sides.admin(side),
      address: this.#sides.server(side).address,
      oid: found.oid,
      name: found.name,
      closed: !found.open,
      ownPids,
      long,
      control,
    });
  }

  async reenter(side: Side, control: WorkControl): Promise<boolean> {
    if (this.#readers.get(side)) return true;
    const found = await this.#sides.found(side);
    return reenterClosed({
      admin: await this.#sides.admin(side),
      name: found.name,
      enter: () => this.#readers.of(side, this.#sides),
      close: () => this.close(side, { wait: 0, then: 'end' }, control),
    });
  }

  async open(side: Side, as?: Mark['as']): Promise<void> {
    const own = as && formatMark({ run: this.#run, as });
    await openDatabase(await this.#sides.admin(side), await this.#sides.found(side), own);
  }

  async rename(moves: readonly { side: Side; from: string; to: string }[]): Promise<void> {
    const bound = await Promise.all(
      moves.map(async ({ side, ...move }) => ({ ...move, oid: (await this.#sides.found(side)).oid })),
    );
    await renameTogether(await this.#sides.admin('blue'), bound);
  }
}
