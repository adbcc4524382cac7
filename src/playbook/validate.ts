import { z } from 'zod';
import type { KeyPath, Place } from '../core/text/mistakes.ts';
import type { Tree } from '../core/text/tree.ts';
import { validateTree } from '../core/text/validate.ts';
import { evaluate, type Manner, type Reading } from './values/evaluate.ts';

/** As `validateTree`, with what references stand for. */
export function validate<T>(
  schema: z.ZodType<T>,
  tree: Tree,
  path: KeyPath,
  reading: Reading,
  manner: Manner = {},
  key?: Place,
): T | undefined {
  const { mistakes, broken } = reading;
  const value = (retyped: ReadonlySet<Tree>): unknown =>
    evaluate(tree, path, reading, { ...manner, retyped });
  return validateTree(schema, tree, path, { mistakes, broken, value }, key);
}

/** Unknown keys are mistakes even where a driver forgot to say so. */
export const strictly = (schema: z.ZodType): z.ZodType =>
  schema instanceof z.ZodObject && schema.def.catchall === undefined ? schema.strict() : schema;
