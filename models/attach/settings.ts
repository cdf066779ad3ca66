import type * as tf from '@tensorflow/tfjs';

/** Numbers that a layer was made with, by their names in small letters and digits only: `windowsize` for `window_size`. */
export type Settings = readonly (readonly [name: string, value: number])[];

/**
 * The whole numbers above 0 of a layer's config and of its own fields, lists and objects inside them included: layers of other
 * people say what they are in either.
 */
function settingsOf(layer: tf.layers.Layer): Settings {
  return [layer.getConfig(), layer].flatMap(source =>
    Object.entries(source).flatMap(([name, value]) => numbersIn(name, value, 2)),
  );
}

function numbersIn(name: string, value: unknown, levels: number): Settings {
  if (typeof value === 'number') {
    return Number.isInteger(value) && value > 0
      ? [[name.toLowerCase().replace(/[^a-z0-9]/g, ''), value]]
      : [];
  }
  if (levels === 0 || typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(item => numbersIn(name, item, levels - 1));
  if (Object.getPrototypeOf(value) !== Object.prototype) return []; // weights, tensors, layers
  return Object.entries(value).flatMap(([inner, item]) => numbersIn(inner, item, levels - 1));
}

/** The largest number whose name says that it is an attention window; 0 if there is none. */
export const namedWindow = (layer: tf.layers.Layer) =>
  largestNamed(
    layer,
    /window|lookback|span|band(width|size)|radius|maxdistance|localcontext|localsize|kernelsize|poolsize/,
  );

/** The number whose name says that it is the longest text the layer takes. */
export function namedContext(layer: tf.layers.Layer): number | undefined {
  const most = largestNamed(
    layer,
    /^(max(imum)?(len|length|tokens|seqlen|sequencelength|positions?|positionembeddings)|(sequence|context)length|nctx|npositions)$/,
  );
  return most === 0 ? undefined : most;
}

/** The smallest number whose name says that it is a count of tokens that the layer knows. */
export function namedVocabulary(layer: tf.layers.Layer): number | undefined {
  const sizes = settingsOf(layer).filter(([name]) =>
    /^(inputdim|vocab(ulary)?size|numtokens|nvocab)$/.test(name),
  );
  return sizes.length === 0 ? undefined : Math.min(...sizes.map(([, size]) => size));
}

function largestNamed(layer: tf.layers.Layer, pattern: RegExp): number {
  return settingsOf(layer).reduce(
    (largest, [name, value]) => (pattern.test(name) ? Math.max(largest, value) : largest),
    0,
  );
}
