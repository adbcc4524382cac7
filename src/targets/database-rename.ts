import { z } from 'zod';
import type { Driver } from '../core/drivers/driver.ts';
import { StepError } from '../core/errors.ts';
import type { Side } from '../core/side.ts';
import type { Target, TargetContext } from '../core/drivers/target.ts';

const options = z
  .strictObject({
    previous: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe("Blue's name after the switch; blue's name with `_previous` behind it unless given"),
  })
  .describe('Green takes over the name of blue, in one transaction');

type Options = z.output<typeof options>;

/** Clients keep their connection string: green takes blue's name, and blue another one, in one transaction. */
export const databaseRename: Driver<Options, TargetContext, Target> = {
  name: 'database-rename',
  summary: "Green takes over blue's name, in one transaction; clients keep their connection string",
  options,
  bare: true,
  open: (_options, context) => new DatabaseRename(context),
  standIn: async (options, kit) => ({ options, without: [], refuse: () => kit.occupy() }),
};

interface Move {
  readonly side: Side;
  readonly from: string;
  readonly to: string;
}

class DatabaseRename implements Target {
  readonly #context: TargetContext;

  constructor(context: TargetContext) {
    this.#context = context;
  }

  describe(): { does: string[]; undo: string } {
    const { database } = this.#context;
    return {
      does: database.planRename(this.#moves('blue')),
      undo: database.planRename(this.#moves('green')).join('; '),
    };
  }

  async current(): Promise<Side | undefined> {
    const { database, names } = this.#context;
    const [blue, green] = [await database.state('blue'), await database.state('green')];
    if (blue?.name === names.blue && green?.name !== names.blue) return 'blue';
    if (green?.name === names.blue && blue?.name === names.previous) return 'green';
    return undefined;
  }

  async prepare(from: Side): Promise<void> {
    const { database } = this.#context;
    const current = await this.current();
    if (current !== from) throw await this.#unexpected(from);
    // The name that is about to be given up by one side is taken by the other: only the third name must be free.
    const [first] = this.#moves(from);
    if (await database.has(first!.to)) {
      throw new StepError(`the name ${first!.to} is taken on the server`, {
        hint: `drop or rename that database; or choose another name: database-rename: { previous: NAME }`,
      });
    }
  }

  async switch(from: Side, to: Side): Promise<void> {
    const current = await this.current();
    if (current === to) return;
    if (current !== from) throw await this.#unexpected(from);
    await this.#context.database.rename(this.#moves(from));
  }

  /** The live side gives up its name first: both moves are in one transaction, but each must find its name free. */
  #moves(live: Side): Move[] {
    const { names } = this.#context;
    return live === 'blue'
      ? [
          { side: 'blue', from: names.blue, to: names.previous },
          { side: 'green', from: names.green, to: names.blue },
        ]
      : [
          { side: 'green', from: names.blue, to: names.green },
          { side: 'blue', from: names.previous, to: names.blue },
        ];
  }

  async #unexpected(side: Side): Promise<StepError> {
    const { database, names } = this.#context;
    const found = await Promise.all(
      (['blue', 'green'] as const).map(
        async (each) => `${each} is ${(await database.state(each))?.name ?? 'not there'}`,
      ),
    );
    return new StepError(`${names.blue} should be ${side}'s database, but ${found.join(', ')}`, {
      hint: 'somebody renamed databases meanwhile; nothing was changed',
    });
  }
}
