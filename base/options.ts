import * as v from 'valibot';
import {InvalidArgumentError, didYouMean, shown} from './errors.js';

/** Options of a codec, policy or plan, as JSON has them. */
export type Options = Readonly<Record<string, OptionValue>>;
export type OptionValue =
  number | string | boolean | null | readonly OptionValue[] | {readonly [name: string]: OptionValue};

/** A name with options, from which a registry makes an instance. */
export interface Spec {
  readonly name: string;
  /** Default: none; the defaults apply. */
  readonly options?: Options;
}

/** A function from options, all of them optional, to a thing; it knows the names of its options. */
export interface Factory<Given extends object, Made> {
  (options?: Given): Made;
  readonly optionNames: readonly string[];
}

/**
 * Makes a factory that checks its options with `checkOptions`.
 * @param entries the schema of each option, with its default.
 */
export function defineFactory<
  Given extends object,
  Made,
  const Entries extends v.ObjectEntries = v.ObjectEntries,
>(
  name: string,
  entries: Entries,
  make: (checked: v.InferOutput<v.StrictObjectSchema<Entries, undefined>>) => Made,
): Factory<Given, Made> {
  const schema = v.strictObject(entries);
  return Object.assign((options: Given | undefined) => make(checkOptions(name, schema, options ?? {})), {
    optionNames: Object.keys(entries),
  });
}

/** Options as JSON has them: what was made from a spec becomes that spec again. */
export function jsonOptions(checked: object): Options {
  const entries = Object.entries(checked as Readonly<Record<string, unknown>>).map(([key, value]) => [
    key,
    isMade(value) ? specOf(value) : value,
  ]);
  return Object.fromEntries(entries) as Options;
}

const isMade = (value: unknown): value is Required<Spec> =>
  typeof value === 'object' && value !== null && 'name' in value && 'options' in value;

/** The name and options from which something was made. */
export function specOf({name, options}: Required<Spec>): Required<Spec> {
  return {name, options};
}

/** A whole number >= `least`. */
export const atLeast = (least: number) =>
  v.pipe(
    v.number(`expected a whole number >= ${least}`),
    v.integer(`expected a whole number >= ${least}`),
    v.minValue(least, `expected a whole number >= ${least}`),
  );

/** A whole number from `least` to `most`. */
export const wholeNumberWithin = (least: number, most: number) => {
  const expected = `expected a whole number from ${least} to ${most}`;
  return v.pipe(
    v.number(expected),
    v.integer(expected),
    v.minValue(least, expected),
    v.maxValue(most, expected),
  );
};

/** The deepest nesting of options, which is a codec in a policy. Untrusted files could nest until recursion fails. */
const maxNesting = 16;

/** An option, as JSON has it. */
export const optionValue = v.custom<OptionValue>(
  input => isOptionValue(input, 0),
  `expected JSON nested at most ${maxNesting} deep`,
);

function isOptionValue(input: unknown, nesting: number): boolean {
  if (input === null || typeof input !== 'object')
    return input === null || ['number', 'string', 'boolean'].includes(typeof input);
  return nesting < maxNesting && Object.values(input).every(inner => isOptionValue(inner, nesting + 1));
}

/** A function; valibot cannot see what it takes. */
export const callback = <Callback>() =>
  v.custom<Callback>(given => typeof given === 'function', 'expected a function');

/** true or false. */
export const flag = v.boolean('expected true or false');

/** A number in (0, 1]. */
export const probability = v.pipe(
  v.number('expected a number above 0, at most 1'),
  v.gtValue(0, 'expected a number above 0, at most 1'),
  v.maxValue(1, 'expected a number above 0, at most 1'),
);

/** A number from `least` to `most`. */
export const numberWithin = (least: number, most: number) => {
  const expected = `expected a number from ${least} to ${most}`;
  return v.pipe(v.number(expected), v.minValue(least, expected), v.maxValue(most, expected));
};

/** A number above 0. */
export const positiveNumber = v.pipe(
  v.number('expected a number above 0'),
  v.finite('expected a number above 0'),
  v.gtValue(0, 'expected a number above 0'),
);

/** One of a few numbers. */
export const oneOf = <const T extends readonly number[]>(...allowed: T) =>
  v.picklist(allowed, `expected ${listOf(allowed)}`);

/**
 * Checks options: unknown names and values that are not allowed are InvalidArgumentErrors which state the
 * option, its value and what is allowed. Missing ones get the schema's defaults.
 */
export function checkOptions<
  const Schema extends
    v.StrictObjectSchema<v.ObjectEntries, undefined> | v.LooseObjectSchema<v.ObjectEntries, undefined>,
>(owner: string, schema: Schema, options: unknown): v.InferOutput<Schema> {
  const names = Object.keys(schema.entries);
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new InvalidArgumentError(
      `${owner}: ${shown(options)} was given; expected an object with ${names.join(', ')}.`,
    );
  }
  const result = v.safeParse(schema, options);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = v.getDotPath(issue) ?? '';
  if (issue.type === 'strict_object' && path !== '' && !names.includes(path)) {
    throw unknownOption(owner, path, names);
  }
  const isMissing = /(^|_)object$/.test(issue.type) && issue.input === undefined;
  if (isMissing) throw new InvalidArgumentError(`${owner}: ${path} is missing.`);
  throw new InvalidArgumentError(`${owner}: ${path} = ${shown(issue.input)}; ${issue.message}.`);
}

/** The error for an option that `owner` does not have. */
export function unknownOption(owner: string, option: string, names: readonly string[]): InvalidArgumentError {
  return new InvalidArgumentError(
    `${owner} has no option "${option}"; it has ${names.length === 0 ? 'none' : names.join(', ')}.${didYouMean(option, names)}`,
  );
}

function listOf(values: readonly (string | number)[]): string {
  return values.length < 2
    ? values.join('')
    : `${values.slice(0, -1).join(', ')} or ${String(values.at(-1))}`;
}
