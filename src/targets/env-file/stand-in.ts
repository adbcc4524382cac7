import type { StandIn, StandInKit } from '../../core/drivers/stand-in.ts';
import { readText } from '../../util/files/atomic.ts';
import { findVariable, replaceValue } from './assignment.ts';

interface Options {
  readonly path: string;
  readonly variable: string;
  readonly green?: string | undefined;
}

/** A copy of the file in which the variable leads to the stage; where there is no file, one of that line. */
export async function envFileStandIn({ path, variable, green }: Options, kit: StandInKit): Promise<StandIn> {
  const { urls, references } = kit;
  const { text, without } = await copyOf(path, variable, urls.blue);
  const copy = await kit.file('env', text);
  const whole = green !== undefined;
  return {
    options: {
      path: copy,
      variable,
      ...(whole && { blue: references.blue, green: references.green }),
    },
    without: [
      ...without,
      ...(whole ? [`${variable} has connection strings of the stage as its two values`] : []),
      `nothing reads ${path} again after the switch: an application that must be restarted is not here`,
    ],
    // Two whole values may be anything, and need not tell anybody where to connect.
    ...(!whole && { address: async () => findVariable(await readText(copy), variable).value }),
    refuse: () => kit.obstruct(copy),
  };
}

async function copyOf(
  path: string,
  variable: string,
  url: string,
): Promise<{ text: string; without: string[] }> {
  const text = await readText(path).catch(() => undefined);
  if (text === undefined)
    return {
      text: `${variable}=${url}\n`,
      without: [`${path} cannot be read here: a file with the one line ${variable}=… stands in`],
    };
  return { text: replaceValue(text, findVariable(text, variable), url), without: [] };
}
