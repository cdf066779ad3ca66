import * as v from 'valibot';
import {InvalidArgumentError, didYouMean, shown} from './errors.js';

/** Options of a codec, policy or plan, as they stand in JSON. */
export type Options = Readonly<Record<string, OptionValue>>;
export type OptionValue =
  number | string | boolean | null | readonly OptionValue[] | {readonly [name: string]: OptionValue};

/** A whole number from `least` on. */
export const atLeast = (least: number) =>
  v.pipe(
    v.number(`expected a whole number >= ${least}`),
    v.integer(`expected a whole number >= ${least}`),
    v.minValue(least, `expected a whole number >= ${least}`),
  );

/** Options nest no deeper than a codec in a policy; a file of a stranger may, until recursion fails. */
const maxNesting = 16;

/** An option as it stands in JSON. */
export const optionValue = v.custom<OptionValue>(
  input => isOptionValue(input, 0),
  `expected JSON nested at most ${maxNesting} deep`,
);

function isOptionValue(input: unknown, nesting: number): boolean {
  if (input === null || typeof input !== 'object')
    return input === null || ['number', 'string', 'boolean'].includes(typeof input);
  return nesting < maxNesting && Object.values(input).every(inner => isOptionValue(inner, nesting + 1));
}

/** A share above 0, at most 1. */
export const probability = v.pipe(
  v.number('expected a number above 0, at most 1'),
  v.gtValue(0, 'expected a number above 0, at most 1'),
  v.maxValue(1, 'expected a number above 0, at most 1'),
);

/** A number above 0. */
export const positiveNumber = v.pipe(
  v.number('expected a number above 0'),
  v.finite('expected a number above 0'),
  v.gtValue(0, 'expected a number above 0'),
);

/** Throws where a rank is beyond what heads of these sizes have. */
export function checkRank(option: string, rank: number, {dim, dimV}: {dim: number; dimV: number}): void {
  const most = Math.min(dim, dimV);
  if (rank <= most) return;
  throw new InvalidArgumentError(
    `${option} = ${rank}; the heads of this model have ${most} numbers: give a rank from 1 to ${most}.`,
  );
}

/** A rank that was not given: 32, and half of a head's numbers where that is less. */
export function defaultRank(dim: number): number {
  return Math.max(1, Math.min(32, Math.floor(dim / 2)));
}

/** One of a few numbers. */
export const oneOf = <const T extends readonly number[]>(...allowed: T) =>
  v.picklist(allowed, `expected ${listOf(allowed)}`);

/**
 * Checks options at the door: unknown names and values that are not allowed are InvalidArgumentErrors which name the
 * option, its value and what is allowed. Missing ones get the schema's defaults.
 */
export function checkOptions<const Schema extends v.StrictObjectSchema<v.ObjectEntries, undefined>>(
  owner: string,
  schema: Schema,
  options: unknown,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, options);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = v.getDotPath(issue) ?? '';
  const names = Object.keys(schema.entries);
  if (issue.type === 'strict_object' && path !== '' && !names.includes(path)) {
    throw new InvalidArgumentError(
      `${owner} has no option "${path}"; it has ${names.length === 0 ? 'none' : names.join(', ')}.${didYouMean(path, names)}`,
    );
  }
  throw new InvalidArgumentError(`${owner}: ${path} = ${shown(issue.input)}; ${issue.message}.`);
}

function listOf(values: readonly (string | number)[]): string {
  return values.length < 2
    ? values.join('')
    : `${values.slice(0, -1).join(', ')} or ${String(values.at(-1))}`;
}
