import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Driver } from '../core/drivers/driver.ts';
import { messageOf, StepError, UsageError } from '../core/errors.ts';
import type { Side } from '../core/side.ts';
import type { Target, TargetContext } from '../core/drivers/target.ts';
import { readText, removeLeftovers, replaceFile } from '../util/files/atomic.ts';
import { addSecretsOfUrl, redact } from '../util/redact.ts';
import { databaseOf, withDatabase } from '../util/url.ts';
import { envFileStandIn } from './env-file/stand-in.ts';
import { findVariable, replaceValue, splice, type Assignment } from './env-file/assignment.ts';

const options = z
  .strictObject({
    path: z.string().min(1).describe('The file, seen from the playbook'),
    variable: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_.]*$/, 'a variable name has letters, digits and _')
      .default('DATABASE_URL')
      .describe('The variable whose value is replaced'),
    blue: z.string().optional().describe('Its whole value when blue is live; only together with `green`'),
    green: z.string().optional().describe('Its whole value when green is live; only together with `blue`'),
  })
  .refine((value) => (value.blue === undefined) === (value.green === undefined), {
    message:
      'give both `blue` and `green`, or neither: without them the database in the connection string is replaced',
  })
  .refine((value) => value.blue === undefined || value.blue !== value.green, {
    message: '`blue` and `green` are the same: the switch would change nothing',
  })
  .describe('One variable of a .env file');

type Options = z.output<typeof options>;

/** One variable in a `.env` file, replaced atomically; mode, owner and everything else in the file stay. */
export const envFile: Driver<Options, TargetContext, Target> = {
  name: 'env-file',
  summary: 'One variable in a .env file is replaced atomically; everything else in the file stays',
  options,
  paths: ['path'],
  secrets: ['blue', 'green'],
  standIn: envFileStandIn,
  open(options, context) {
    if (options.green === undefined && context.renames) {
      throw new UsageError(
        `${options.variable} in ${options.path} would not change: database-rename keeps blue's name`,
        {
          hint: 'leave this target out, or give its two values: env-file: { path: …, variable: …, blue: …, green: … }',
        },
      );
    }
    return new EnvFile(options, context);
  },
};

function missingFile(cause: NodeJS.ErrnoException): never {
  throw cause.code === 'ENOENT' ? new Error('there is no such file') : cause;
}

class EnvFile implements Target {
  readonly #options: Options;
  readonly #context: TargetContext;

  constructor(options: Options, context: TargetContext) {
    this.#options = options;
    this.#context = context;
  }

  describe(): { does: string[]; undo: string } {
    const { path, variable } = this.#options;
    const { names } = this.#context;
    if (this.#options.green !== undefined) {
      return {
        does: [redact(`write ${variable} in ${path}: ${this.#options.blue} → ${this.#options.green}`)],
        undo: `write ${variable} in ${path} back`,
      };
    }
    return {
      does: [
        `write ${variable} in ${path}: database ${names.blue} → ${names.green}, the rest of the value stays`,
      ],
      undo: `write ${variable} in ${path} back to database ${names.blue}`,
    };
  }

  async current(): Promise<Side | undefined> {
    const { assignment } = await this.#read();
    return this.#sideOf(assignment.value);
  }

  async prepare(from: Side, to: Side): Promise<void> {
    const { path, text, assignment } = await this.#read();
    if (this.#sideOf(assignment.value) !== from) throw this.#unexpected(from, assignment.value);
    this.#pointedAt(to, text, assignment);
    await access(path, constants.W_OK).catch(this.#notWritable(path));
    await access(dirname(path), constants.W_OK).catch(this.#notWritable(dirname(path)));
    const [{ uid }, user] = [await stat(path), process.geteuid?.()];
    if (user !== undefined && user !== 0 && uid !== user) {
      // A file that is replaced belongs to whoever does it, and only root may give it back.
      this.#notWritable(path)(new Error(`it belongs to user ${uid}, and would not any more`));
    }
  }

  async switch(from: Side, to: Side): Promise<void> {
    const { path, text, assignment } = await this.#read();
    const side = this.#sideOf(assignment.value);
    await removeLeftovers(path);
    if (side === to) return;
    if (side !== from) throw this.#unexpected(from, assignment.value);
    await replaceFile(path, this.#pointedAt(to, text, assignment));
  }

  /** The file's text when it points at a side. Throws when its value cannot be written there. */
  #pointedAt(side: Side, text: string, assignment: Assignment): string {
    const explicit = this.#options[side];
    // The new name is percent-encoded: whatever quotes there are, or are not, fit it as they fit the old one.
    if (explicit === undefined)
      return splice(text, assignment, withDatabase(assignment.value, this.#nameOf(side)));
    try {
      return replaceValue(text, assignment, this.#context.resolve(explicit));
    } catch (cause) {
      throw new StepError(`${this.#options.variable} cannot be written: ${messageOf(cause)}`, {
        where: this.#options.path,
        cause,
        hint: `change the quotes in the file, or the value of ${side} in the playbook`,
      });
    }
  }

  #nameOf(side: Side): string {
    return side === 'blue' ? this.#context.names.blue : this.#context.names.green;
  }

  #sideOf(value: string): Side | undefined {
    const { blue, green } = this.#options;
    if (blue === undefined || green === undefined) {
      return (['blue', 'green'] as const).find((side) => databaseOf(value) === this.#nameOf(side));
    }
    const values = { blue: this.#context.resolve(blue), green: this.#context.resolve(green) };
    // References may have come to mean the same, for instance when they are read from this very file.
    if (values.blue === values.green) return undefined;
    return (['blue', 'green'] as const).find((side) => value === values[side]);
  }

  async #read(): Promise<{ path: string; text: string; assignment: Assignment }> {
    const { variable } = this.#options;
    try {
      // Behind a symbolic link the file itself is replaced, not the link.
      const path = await realpath(this.#options.path).catch(missingFile);
      const text = await readText(path);
      // Reading turns other bytes into this character, and they would not come back as they were.
      if (text.includes('\uFFFD')) throw new Error('the file is not UTF-8');
      const assignment = findVariable(text, variable);
      addSecretsOfUrl(assignment.value);
      return { path, text, assignment };
    } catch (cause) {
      throw new StepError(`${variable} cannot be read: ${messageOf(cause)}`, {
        where: this.#options.path,
        cause,
        hint: `the file must hold one line ${variable}=…`,
      });
    }
  }

  #unexpected(expected: Side, value: string): StepError {
    const { path, variable } = this.#options;
    const name = databaseOf(value);
    const found =
      this.#options.green !== undefined
        ? 'has another value'
        : // A password with a bare / or ? in it makes its rest look like a name, which must not be shown.
          name === undefined || value.lastIndexOf('@') > value.indexOf('/', value.indexOf('://') + 3)
          ? 'is no connection string that names a database'
          : `names database ${name}`;
    const wanted =
      this.#options.green === undefined
        ? `database ${this.#nameOf(expected)}`
        : `the value given for ${expected}`;
    return new StepError(`${variable} in ${path} ${found}, expected ${wanted}`, {
      hint: 'somebody changed the file; put the expected value there, or correct the playbook',
    });
  }

  #notWritable(path: string): (cause: unknown) => never {
    return (cause) => {
      throw new StepError(`${path} cannot be written: ${messageOf(cause)}`, {
        cause,
        hint: 'give the user the right to write there',
      });
    };
  }
}
