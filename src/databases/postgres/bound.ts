import { RefusedError, StepError } from '../../core/errors.ts';
import type { Side } from '../../core/side.ts';
import type { Access } from './access.ts';
import { findByName, findByOid, type Found } from './copy/copy.ts';

/** Which database each side is, by object id: names move, ids do not. */
export class Bound {
  readonly #access: Access;
  readonly #oids = new Map<Side, number>();

  constructor(access: Access) {
    this.#access = access;
  }

  get oids(): number[] {
    return [...this.#oids.values()];
  }

  bind(side: Side, oid: number): void {
    this.#oids.set(side, oid);
  }

  forget(side: Side): void {
    this.#oids.delete(side);
  }

  /** Throws RefusedError when there is no database of that name. */
  async bindByName(side: Side, name: string): Promise<void> {
    const found = await findByName(await this.#access.maintenance(), name);
    const { host, port } = this.#access.address;
    if (!found) {
      throw new RefusedError(`there is no database ${name} on ${host}:${port}`, {
        hint: 'check the database name in the connection string',
      });
    }
    this.bind(side, found.oid);
  }

  async find(side: Side): Promise<Found | undefined> {
    const oid = this.#oids.get(side);
    return oid === undefined ? undefined : findByOid(await this.#access.maintenance(), oid);
  }

  async found(side: Side): Promise<Found> {
    const found = await this.find(side);
    if (found) return found;
    throw new StepError(`${side}'s database is not on the server any more`, {
      hint: 'has somebody dropped it?',
    });
  }
}
