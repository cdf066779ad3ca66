import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import type {Spec} from '../../base/options.js';
import type {Codec, PairCodec} from '../contract.js';
import {type AnyFactory, Registry, isSpec} from '../registry.js';
import {type IntegerOptions, integer} from './integer.js';
import * as codecs from './index.js';
import {codecPair} from './pair.js';
import * as pairs from './pairs.js';

/** A codec of one side as it may be written: itself, its name, or its name and options; options alone are those of `integer`. */
export type CodecLike = Codec | string | Spec | IntegerOptions;

/** How tokens are stored as it may be written: one codec for both sides, or one for each. */
export type StoreLike = PairCodec | CodecLike | {readonly keys: CodecLike; readonly values: CodecLike};

const codecRegistry = new Registry<Codec>('codec', codecs);
const pairRegistry = new Registry<PairCodec>('codec', pairs);

/** The names of the codecs of one side. */
export function codecNames(): string[] {
  return codecRegistry.names;
}

/** The names of all that stores both sides: those of `codecNames`, and the codecs of both sides at once. */
export function storeNames(): string[] {
  return [...codecRegistry.names, ...pairRegistry.names];
}

/** The names of a codec's options; undefined if there is none of that name, or if it does not say. */
export function codecOptionNames(name: string): readonly string[] | undefined {
  return codecRegistry.optionNames(name) ?? pairRegistry.optionNames(name);
}

/**
 * Makes a codec of one side by name.
 * @throws InvalidArgumentError if there is none of that name, or if it does not take the options.
 */
export function makeCodec(spec: Spec): Codec {
  return codecRegistry.make(spec);
}

/**
 * Adds a codec of your own, so that policies, saved configs and the command line know it by its name.
 * @throws InvalidArgumentError if the name is taken.
 */
export function registerCodec(name: string, factory: AnyFactory<Codec>): void {
  expectFree(name);
  codecRegistry.register(name, factory);
}

/** The same for a codec of both sides at once. */
export function registerPairCodec(name: string, factory: AnyFactory<PairCodec>): void {
  expectFree(name);
  pairRegistry.register(name, factory);
}

function expectFree(name: string): void {
  if (storeNames().includes(name) || name === 'pair') {
    throw new InvalidArgumentError(`There is a codec "${name}" already; give yours another name.`);
  }
}

/** @throws InvalidArgumentError if it is no codec, see `CodecLike`. */
export function asCodec(given: CodecLike): Codec {
  if (typeof given === 'string') return makeCodec({name: given});
  if (!isObject(given)) throw noStore(given);
  if ('encode' in given) return given;
  return isSpec(given) ? makeCodec(given) : integer(given);
}

/** @throws InvalidArgumentError if it is nothing that stores, see `StoreLike`. */
export function asStore(given: StoreLike): PairCodec {
  if (typeof given === 'string') return makeStore({name: given});
  if (!isObject(given)) throw noStore(given);
  if ('add' in given) return given;
  if ('keys' in given || 'values' in given) {
    const {keys, values} = given as {keys?: CodecLike; values?: CodecLike};
    if (keys === undefined || values === undefined) throw noStore(given);
    return codecPair({keys: asCodec(keys), values: asCodec(values)});
  }
  return isSpec(given) && !('encode' in given) ? makeStore(given) : sameForBoth(asCodec(given));
}

function makeStore(spec: Spec): PairCodec {
  if (spec.name === 'pair') return asStore(spec.options ?? {});
  return pairRegistry.has(spec.name) ? pairRegistry.make(spec) : sameForBoth(makeCodec(spec));
}

const sameForBoth = (codec: Codec) => codecPair({keys: codec, values: codec});

/** How tokens are stored, as an option of a policy. */
export const storeOption = v.pipe(
  v.custom<StoreLike>(() => true),
  v.transform(asStore),
);

/** Callers of plain JavaScript give anything. */
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

function noStore(given: unknown): InvalidArgumentError {
  return new InvalidArgumentError(
    `store = ${shown(given)}; expected a codec such as integer({bits: 4}), its name (${storeNames().join(', ')}), its name and ` +
      'options, or one for each side: {keys: ..., values: ...}.',
  );
}
