import * as v from 'valibot';
import {InvalidArgumentError, didYouMean} from '../../base/errors.js';
import type {Codec, Options} from '../codec.js';
import {dense} from './dense.js';
import {float8} from './float8.js';
import {integer} from './integer.js';

/** How latents may be stored: any codec of single numbers. */
const inner: Readonly<Record<string, {make(options?: Options): Codec}['make']>> = {dense, integer, float8};

/** A codec of latents as JSON. */
export const latentsSchema = v.strictObject({
  name: v.string('expected the name of a codec'),
  options: v.optional(v.record(v.string(), v.union([v.number(), v.string(), v.boolean()])), {}),
});

export type LatentsSpec = v.InferOutput<typeof latentsSchema>;

/** Makes the codec of latents. */
export function latentsCodec({name, options}: LatentsSpec): Codec {
  const factory = Object.hasOwn(inner, name) ? inner[name] : undefined;
  if (factory === undefined) {
    const names = Object.keys(inner);
    throw new InvalidArgumentError(
      `latents = "${name}"; expected one of ${names.join(', ')}.${didYouMean(name, names)}`,
    );
  }
  if (options['center'] === true || options['rotate'] === true) {
    throw new InvalidArgumentError(
      'Latents take no center or rotate: their basis is a turn already; give the low-rank codec `center`.',
    );
  }
  return factory(options);
}
