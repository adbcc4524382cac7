import type { Mark } from '../../../core/database/mark.ts';
import type { Side } from '../../../core/side.ts';
import { quoteIdentifier, quoteLiteral } from '../../../util/sql.ts';
import type { Readers } from '../reading/readers.ts';
import type { Sides } from '../sides.ts';
import { dropMarked, findCopy } from './copy.ts';
import { formatMark, interimName } from './mark.ts';

/** The run's own databases: marked, and dropped by their mark alone. */
export class Copies {
  readonly #sides: Sides;
  readonly #readers: Readers;
  readonly #run: string;

  constructor(sides: Sides, readers: Readers, run: string) {
    this.#sides = sides;
    this.#readers = readers;
    this.#run = run;
  }

  async drop(side: Side, as: Mark['as']): Promise<boolean> {
    const admin = await this.#sides.admin(side);
    const interim = interimName(this.#run);
    const found =
      (await this.#sides.find(side)) ??
      (as === 'copy' ? await findCopy(admin, this.#run, interim) : undefined);
    if (!found) return false;
    await this.#readers.release(side);
    await this.#sides.letGo(side);
    await dropMarked(admin, found, { run: this.#run, as }, interim);
    await this.#sides.forget(side);
    return true;
  }

  async mark(side: Side, mark: Mark['as'] | undefined, comment: string | undefined): Promise<void> {
    const { name } = await this.#sides.found(side);
    const text = mark ? formatMark({ run: this.#run, as: mark }) : comment;
    const admin = await this.#sides.admin(side);
    await admin.query(
      `COMMENT ON DATABASE ${quoteIdentifier(name)} IS ${text === undefined ? 'NULL' : quoteLiteral(text)}`,
    );
  }
}
