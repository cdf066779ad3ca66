import type * as tf from '@tensorflow/tfjs';
import {expectNotDisposed, isModel} from '../cache/binding/attention_layers.js';
import {isIdList} from '../cache/sharing/id_list.js';
import {FormatError, InvalidArgumentError, shown} from '../base/errors.js';
import {unshared} from '../base/shared_memory.js';
import {contextOf} from './attach/context.js';
import type {TextModel} from './loaded_model.js';
import {checkIds} from './token_ids.js';
import type {Tokenizer} from './tokenizer/index.js';

/** What a function needs of a model: what `loadModel` returns, or the model alone with what of the rest is needed. */
export type ModelParts = Pick<TextModel, 'model'> & Partial<TextModel>;

/** A model as every function takes it: what `loadModel` returns, or a `tf.LayersModel` alone, which takes ids. */
export type ModelLike = ModelParts | tf.LayersModel;

/** A text, or its ids. */
export type TextLike = string | readonly number[];

/** @throws InvalidArgumentError if it is no model and has none, or the model was disposed of. */
export function partsOf(given: ModelLike): ModelParts {
  const parts = partsIn(given);
  expectNotDisposed(parts.model);
  return parts;
}

function partsIn(given: ModelLike): ModelParts {
  if (isLayersModel(given)) return {model: given};
  if (isObject(given) && 'model' in given && isLayersModel(given.model)) return given;
  throw new InvalidArgumentError(
    `${isObject(given) ? 'This' : shown(given)} is no model; expected what loadModel returns, {model, tokenizer}, or a tf.LayersModel.` +
      (given instanceof Promise ? ' loadModel returns a promise: await it.' : ''),
  );
}

/** @throws InvalidArgumentError if it is no model and has none, or the model was disposed of. */
export function modelOf(given: ModelLike): tf.LayersModel {
  return partsOf(given).model;
}

/** The most tokens that a model takes: the lesser of its own and its layers' context. Infinity if neither says it. */
export function contextLengthOf(given: ModelLike): number {
  const {model, contextLength = Infinity} = partsOf(given);
  return Math.min(contextOf(model).tokens, contextLength);
}

/** @throws InvalidArgumentError if the model came without a tokenizer, or with something that is none. */
export function tokenizerOf(given: ModelLike): Tokenizer {
  const {tokenizer} = partsOf(given);
  if (tokenizer !== undefined) {
    expectTokenizer(tokenizer);
    return tokenizer;
  }
  throw new InvalidArgumentError(
    'This model came without a tokenizer, and a text needs one; give what loadModel returned, {model, tokenizer}, or the ids of the text.',
  );
}

/** Plain JavaScript callers may pass any value. */
function expectTokenizer(given: unknown): void {
  const parts = isObject(given) ? given : {};
  const missing = ['encode', 'decode', 'token'].filter(
    name => typeof Reflect.get(parts, name) !== 'function',
  );
  if (!isIdList(Reflect.get(parts, 'eosIds'))) missing.push('eosIds');
  if (missing.length === 0) return;
  throw new InvalidArgumentError(
    `The tokenizer of this model has no ${missing.join(', no ')}; expected the one that loadModel returned, or one of your own with ` +
      'all that the interface Tokenizer names.',
  );
}

/**
 * The ids of a text to measure.
 *
 * @param name what messages call it.
 * @throws InvalidArgumentError if it is neither a text nor a list of ids, it is empty, an id is not in the vocabulary, or a text came
 *   without a tokenizer.
 */
export function idsOf(given: ModelLike, text: TextLike, name = 'The text'): readonly number[] {
  const ids = typeof text === 'string' ? textIds(tokenizerOf(given), text, name) : text;
  checkIds(ids, modelOf(given));
  if (ids.length > 0) return ids;
  throw new InvalidArgumentError(`${name} has no tokens; give some to measure.`);
}

/**
 * The ids of one text or several.
 *
 * @param texts a text, its ids, or a list of texts and lists of ids.
 * @param most tokens of each text that are taken: the first ones.
 * @throws InvalidArgumentError if there is none; see `idsOf`.
 */
export function idsOfTexts(
  given: ModelLike,
  texts: TextLike | readonly TextLike[],
  most = Infinity,
): number[][] {
  const listed = isOneText(texts) ? [texts] : texts;
  if (listed.length === 0) throw new InvalidArgumentError('There are no texts; give one or more.');
  return listed.map((text, index) => {
    const name = listed.length === 1 ? 'The text' : `Text ${index}`;
    return [...idsOf(given, text, name).slice(0, most)];
  });
}

/** A list whose first entry is a text or a list holds texts; any other holds ids, which `checkIds` judges. */
function isOneText(texts: TextLike | readonly TextLike[]): texts is TextLike {
  if (!Array.isArray(texts)) return true;
  const first: unknown = texts[0];
  return texts.length > 0 && typeof first !== 'string' && !Array.isArray(first) && !ArrayBuffer.isView(first);
}

/**
 * The ids of a text to measure: special tokens that are written out in it are read as plain text.
 *
 * @param text or its bytes in UTF-8.
 * @param name what messages call it.
 * @throws FormatError if the bytes are not UTF-8, InvalidArgumentError if the text is empty.
 */
export function textIds(
  tokenizer: Pick<Tokenizer, 'encode'>,
  text: string | Uint8Array,
  name = 'The text',
): number[] {
  const decoded = typeof text === 'string' ? text : decodeUtf8(text, name);
  if (decoded.trim() === '') throw new InvalidArgumentError(`${name} is empty; give some text to measure.`);
  return tokenizer.encode(decoded, {parseSpecial: false});
}

/** @throws FormatError if the bytes are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', {fatal: true}).decode(unshared(bytes));
  } catch (error) {
    throw new FormatError(`${name} is not UTF-8; convert it, or give another file.`, {cause: error});
  }
}

const isObject = (given: unknown): given is object => typeof given === 'object' && given !== null;

/** By its layers, not its class: a second copy of tfjs has another. A `tf.Sequential` has a `model` of its own. */
const isLayersModel = (given: unknown): given is tf.LayersModel => isModel(given);
