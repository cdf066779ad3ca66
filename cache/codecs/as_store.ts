import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {type Spec, unknownOption} from '../../base/options.js';
import type {Codec, PairCodec} from '../contract.js';
import {type AnyFactory, Registry, isSpec, unknownName} from '../registry.js';
import {specOfText} from '../spec_text.js';
import {type IntegerOptions, integer} from './integer.js';
import * as codecs from './index.js';
import {codecPair} from './pair.js';
import * as pairs from './pairs.js';

/**
 * Whatever can be read as a codec for one side: a codec, its name, its text (`'integer:bits=4'`), its name and options, or options of `integer`
 * alone.
 */
export type CodecLike = Codec | string | Spec | IntegerOptions;

/** Whatever can be read as how tokens are stored: one codec for both keys and values, or one for each. */
export type StoreLike = PairCodec | CodecLike | {readonly keys: CodecLike; readonly values: CodecLike};

const codecRegistry = new Registry<Codec>('codec', codecs);
const pairRegistry = new Registry<PairCodec>('codec', pairs);

/** Returns the names of all registered codecs for one side. */
export function codecNames(): string[] {
  return codecRegistry.names;
}

/** Returns the names that `store` accepts: those of `codecNames`, then the codecs that encode keys and values together. */
export function storeNames(): string[] {
  return [...codecRegistry.names, ...pairRegistry.names];
}

/** Returns the names of a codec's options; undefined if no codec has that name, or if its factory does not list them. */
export function codecOptionNames(name: string): readonly string[] | undefined {
  return codecRegistry.optionNames(name) ?? pairRegistry.optionNames(name);
}

/**
 * Makes a codec for one side by name. Missing options have their defaults.
 * @throws InvalidArgumentError if no codec for one side has that name, or if it does not accept the options.
 */
export function makeCodec(spec: Spec): Codec {
  if (isSpec(spec) && pairRegistry.has(spec.name)) {
    throw new InvalidArgumentError(
      `${spec.name} encodes keys and values together; give it as the whole of store, or one of ${codecNames().join(', ')} for a side.`,
    );
  }
  return codecRegistry.make(spec);
}

/**
 * Registers a codec for one side, so that policies, saved configs and the command line know it by its name.
 * @throws InvalidArgumentError if the name is taken.
 */
export function registerCodec(name: string, factory: AnyFactory<Codec>): void {
  expectFree(name);
  codecRegistry.register(name, factory);
}

/**
 * Registers a codec that encodes keys and values together.
 * @throws InvalidArgumentError if the name is taken.
 */
export function registerPairCodec(name: string, factory: AnyFactory<PairCodec>): void {
  expectFree(name);
  pairRegistry.register(name, factory);
}

function expectFree(name: string): void {
  if (storeNames().includes(name) || name === 'pair') {
    throw new InvalidArgumentError(`There is already a codec "${name}"; give yours another name.`);
  }
}

/**
 * Returns the codec that a `CodecLike` stands for.
 * @throws InvalidArgumentError if it cannot be read as a codec.
 */
export function asCodec(given: CodecLike): Codec {
  if (typeof given === 'string') return makeCodec(specOfText(given));
  if (!isObject(given)) throw noStore(given);
  if ('encode' in given) return given;
  return isSpec(given) ? makeCodec(given) : integer(given);
}

/**
 * Returns the codec for keys and values that a `StoreLike` stands for.
 * @throws InvalidArgumentError if it cannot be read as one.
 */
export function asStore(given: StoreLike): PairCodec {
  if (typeof given === 'string') return makeStore(specOfText(given));
  if (!isObject(given)) throw noStore(given);
  if ('add' in given) return given;
  if ('keys' in given || 'values' in given) return pairOf(given);
  return isSpec(given) && !('encode' in given) ? makeStore(given) : sameForBoth(asCodec(given));
}

function makeStore(spec: Spec): PairCodec {
  if (spec.name === 'pair') return pairOf(spec.options ?? {});
  if (pairRegistry.has(spec.name)) return pairRegistry.make(spec);
  if (codecRegistry.has(spec.name)) return sameForBoth(codecRegistry.make(spec));
  throw unknownName('codec', spec.name, storeNames());
}

function pairOf(given: object): PairCodec {
  const {keys, values, ...others} = given as {readonly keys?: CodecLike; readonly values?: CodecLike};
  if (keys === undefined || values === undefined) throw noStore(given);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw unknownOption('store', unknown, ['keys', 'values']);
  return codecPair({keys: asCodec(keys), values: asCodec(values)});
}

const sameForBoth = (codec: Codec) => codecPair({keys: codec, values: codec});

/** The valibot schema of a policy's option `store`. */
export const storeOption = v.pipe(
  v.custom<StoreLike>(() => true),
  v.transform(asStore),
);

/** Plain JavaScript callers may pass any value. */
const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function noStore(given: unknown): InvalidArgumentError {
  return new InvalidArgumentError(
    `store = ${shown(given)}; expected a codec such as integer({bits: 4}), its name (${storeNames().join(', ')}), a text such as ` +
      '"integer:bits=4", its name and options, or one for each side: {keys: ..., values: ...}.',
  );
}
