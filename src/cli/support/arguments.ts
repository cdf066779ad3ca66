import {parseArgs} from 'node:util';
import {didYouMean} from '../../../base/errors.js';
import {UsageError} from './usage_error.js';

/** The definition of an option or argument of a command. */
export interface Argument<Value> {
  /** An option has a value, a flag has none. A word is a positional argument, in the order of the definitions. */
  readonly kind: 'option' | 'flag' | 'word';
  readonly description: string;
  /** The name of the value in help. */
  readonly hint: string;
  /** The default, as written on the command line. */
  readonly fallback?: string;
  /** What its values are made of: help lists it below all options. Default: nothing. */
  readonly parts?: readonly HelpSection[];
  /** Whether the argument must be given. Default false. */
  readonly isRequired?: boolean;
  /**
   * Parses the values.
   * @param values all given values, in order.
   * @param name the name in messages: `--top-k`.
   */
  readonly read: (values: readonly string[], name: string) => Value;
}

/** Terms with their descriptions, under a heading. */
export interface HelpSection {
  readonly heading: string;
  /** Called when help is shown. */
  readonly terms: () => readonly (readonly [term: string, description: string])[];
}

/** Written `topK` in code and `--top-k` on the command line. */
export type ArgumentDefinitions = Readonly<Record<string, Argument<unknown>>>;

export type ArgumentValues<Definitions extends ArgumentDefinitions> = {
  readonly [Name in keyof Definitions]: Definitions[Name] extends Argument<infer Value> ? Value : never;
};

/** An option with any text; if it is given several times, the last one counts. */
export function text(description: string, hint = 'TEXT'): Argument<string | undefined> {
  return {kind: 'option', description, hint, read: values => values.at(-1)};
}

/** An option with any text that may be repeated. */
export function texts(description: string, hint = 'TEXT'): Argument<readonly string[]> {
  return {kind: 'option', description: `${description}. May be repeated`, hint, read: values => values};
}

export function flag(description: string): Argument<boolean> {
  return {kind: 'flag', description, hint: '', read: values => values.length > 0};
}

/** A positional argument. */
export function word(description: string): Argument<string | undefined> {
  return {kind: 'word', description, hint: '', read: values => values.at(-1)};
}

/** An option with a whole number, at least `least`. */
export function wholeNumber(description: string, least = 1): Argument<number | undefined> {
  const allowed = (x: number) => Number.isSafeInteger(x) && x >= least;
  return number(description, `a whole number >= ${least}`, allowed, 'N');
}

/** An option with a number, at least 0. */
export function positiveNumber(description: string): Argument<number | undefined> {
  return number(description, 'a number >= 0', x => Number.isFinite(x) && x >= 0);
}

/** An option with a number above 0 and at most 1. */
export function share(description: string): Argument<number | undefined> {
  return number(description, 'a number above 0, at most 1', x => x > 0 && x <= 1);
}

export function number(
  description: string,
  expected: string,
  allowed: (x: number) => boolean,
  hint = 'X',
): Argument<number | undefined> {
  return {
    ...text(description, hint),
    read(values, name) {
      const value = values.at(-1);
      if (value === undefined) return undefined;
      const given = value.trim() === '' ? NaN : Number(value);
      if (allowed(given)) return given;
      throw new UsageError(`${name} = "${value}"; expected ${expected}.`);
    },
  };
}

/** An option with one of a few names, which help lists. */
export function choice<const Name extends string>(
  description: string,
  names: readonly Name[],
): Argument<Name | undefined> {
  return {
    ...text(`${description}: ${names.join(', ')}`, 'NAME'),
    read(values, option) {
      const value = values.at(-1);
      const found = names.find(name => name === value);
      if (value === undefined || found !== undefined) return found;
      throw new UsageError(
        `${option} = "${value}"; expected one of ${names.join(', ')}.${didYouMean(value, names)}`,
      );
    },
  };
}

/** Adds a default, which help shows. */
export function withDefault<Value>(argument: Argument<Value | undefined>, fallback: string): Argument<Value> {
  const {read} = required(argument);
  return {...argument, fallback, read: (values, name) => read(values.length > 0 ? values : [fallback], name)};
}

/** Makes an argument mandatory. */
export function required<Value>(argument: Argument<Value | undefined>): Argument<Value> {
  return {
    ...argument,
    isRequired: true,
    read(values, name) {
      const value = argument.read(values, name);
      if (value !== undefined) return value;
      throw new UsageError(`${name} is missing: ${argument.description}.`);
    },
  };
}

const every = 'all';

/** The option `--columns`, which chooses columns of a table; undefined if it is not given. */
export function columns(names: readonly string[], more = ''): Argument<readonly string[] | undefined> {
  const description = `Columns to show: ${names.join(', ')}; or ${every}. ${more}Default: as many of the first ones as fit. May be repeated`;
  return {...text(description, 'A,B'), read: values => readColumns(values, names)};
}

/** @throws UsageError if a name is not a column of the table. */
export function readColumns(values: readonly string[], allowed: readonly string[]): string[] | undefined {
  if (values.length === 0) return undefined;
  const names = values.flatMap(value => value.split(',')).map(name => name.trim());
  const unknown = names.find(name => name !== every && !allowed.includes(name));
  if (unknown === undefined) return names.includes(every) ? [...allowed] : [...new Set(names)];
  throw new UsageError(
    `--columns = "${values.join(',')}": there is no column "${unknown}"; there are ${allowed.join(', ')}, ${every}.` +
      didYouMean(unknown, allowed),
  );
}

/** Returns how an argument is written on the command line: `--top-k`, or `PROMPT` for a positional one. */
export function nameOf(key: string, {kind}: Argument<unknown>): string {
  return kind === 'word' ? key.toUpperCase() : `--${kebab(key)}`;
}

const kebab = (key: string) => key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);

/** The values of a command line by the names of the definitions. */
export type GivenArguments = ReadonlyMap<string, readonly string[]>;

/**
 * Parses the values of a command line.
 * @throws UsageError if values are missing or not allowed.
 */
export function readArguments<Definitions extends ArgumentDefinitions>(
  definitions: Definitions,
  given: GivenArguments,
): ArgumentValues<Definitions> {
  const values = Object.entries(definitions).map(([key, argument]) => {
    const name = nameOf(key, argument);
    return [key, argument.read(given.get(name) ?? [], name)] as const;
  });
  return Object.fromEntries(values) as ArgumentValues<Definitions>;
}

/**
 * Splits a command line into the values of its arguments.
 * @throws UsageError for unknown options, options without a value, flags with one, and too many positional arguments.
 */
export function givenArguments(
  command: string,
  definitions: ArgumentDefinitions,
  argv: readonly string[],
): GivenArguments {
  const byName = new Map(
    Object.entries(definitions).map(([key, argument]) => [nameOf(key, argument), argument]),
  );
  const options = Object.fromEntries(
    [...byName].flatMap(([name, {kind}]) =>
      kind === 'word' ? [] : [[name.slice(2), {type: kind === 'flag' ? 'boolean' : 'string'} as const]],
    ),
  );
  const {tokens} = parseArgs({args: [...argv], options, allowPositionals: true, strict: false, tokens: true});
  const words = [...byName].flatMap(([name, {kind}]) => (kind === 'word' ? [name] : []));
  const given = new Map<string, string[]>();
  const add = (name: string, value: string) => given.set(name, [...(given.get(name) ?? []), value]);
  for (const token of tokens) {
    if (token.kind === 'positional') {
      const name = words.shift();
      if (name === undefined) {
        throw new UsageError(`Unexpected argument "${token.value}"; put a text with spaces into quotes.`);
      }
      add(name, token.value);
    }
    if (token.kind !== 'option') continue;
    const {rawName, value} = token;
    const argument = byName.get(rawName);
    if (argument === undefined) throw unknownOption(command, rawName, [...byName.keys()]);
    if (argument.kind === 'option' && (value === undefined || value === '')) {
      throw new UsageError(`${rawName} needs a value: ${argument.hint}.`);
    }
    if (argument.kind === 'flag' && value !== undefined) {
      throw new UsageError(`${rawName} takes no value; leave "${value}" out.`);
    }
    add(rawName, value ?? '');
  }
  return given;
}

/** Former names of options. */
const renamed: Readonly<Record<string, string>> = {
  '--policy': '--plan',
  '--scenario': '--plan',
  '--step': '--chunk',
};

function unknownOption(command: string, given: string, names: readonly string[]): UsageError {
  const options = names.filter(name => name.startsWith('--'));
  // the letters of `--max-tokens` differ too much from `--tokens`
  const meant =
    [renamed[given] ?? ''].find(name => options.includes(name)) ??
    options.find(name => given.split(/[-_]/).includes(name.slice(2)));
  const advice = meant === undefined ? didYouMean(given, options) : ` Did you mean "${meant}"?`;
  return new UsageError(
    advice === ''
      ? `There is no option ${given}; there are ${options.join(', ')}.`
      : `There is no option ${given}.${advice} (eigenkv ${command} --help shows all.)`,
  );
}
