import {ModelError} from '../../base/errors.js';
import {isRecord, sameJson} from '../../base/records.js';
import {spaceSteps} from './sentence_pieces.js';
import {nameOfSplitting} from './splittings.js';
import {byteOfCharacter} from './steps/bytes.js';
import {gpt2Pattern} from './steps/pre_tokenizers.js';
import type {TokenizerJson} from './tokenizer_json.js';

/** How a GGUF file names the steps of a tokenizer. */
export type GgufSteps =
  | {readonly model: 'gpt2'; readonly pre: string}
  | {readonly model: 'llama'; readonly addSpacePrefix: boolean};

/**
 * What a GGUF file says of these steps, so that llama.cpp and `tokenizerFromGguf` take texts apart in the same way.
 * @throws ModelError if there is nothing that says it, with the reason.
 */
export function ggufSteps(json: TokenizerJson, vocabulary: ReadonlyMap<string, number>): GgufSteps {
  const {model} = json;
  if (model['type'] !== 'BPE') throw notInGguf(`its model is ${String(model['type'])}, not BPE`);
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix', 'dropout']) {
    if (model[key]) throw notInGguf(`it has ${key} = ${JSON.stringify(model[key])}`);
  }
  return isByteLevel(json.decoder) ? byteLevel(json, vocabulary) : sentencePieces(json);
}

export function notInGguf(reason: string): ModelError {
  return new ModelError(
    `This tokenizer has no place in a GGUF file: ${reason}. Save the model into a folder instead (a path without .gguf).`,
  );
}

function byteLevel(json: TokenizerJson, vocabulary: ReadonlyMap<string, number>): GgufSteps {
  const {model, normalizer} = json;
  // bytes without a token are left out by readers of GGUF
  const missing = [...byteOfCharacter.keys()].find(character => !vocabulary.has(character));
  if (missing !== undefined && typeof model['unk_token'] === 'string') {
    throw notInGguf(`it is byte-level and gives the byte "${missing}" its unk_token`);
  }
  if (model['byte_fallback'] === true) throw notInGguf('it is byte-level and has byte_fallback');
  const patterns = patternsOf(json.pre_tokenizer);
  const pre =
    patterns &&
    nameOfSplitting({
      patterns,
      ...(isRecord(normalizer) && {normalizer}),
      ignoreMerges: model['ignore_merges'] === true,
    });
  if (pre === undefined) {
    throw notInGguf('the way in which it splits text before merging is none that tokenizer.ggml.pre names');
  }
  return {model: 'gpt2', pre};
}

function sentencePieces({model, ...steps}: TokenizerJson): GgufSteps {
  const addSpacePrefix = [true, false].find(prefix => {
    const {normalizer, preTokenizer, decoder} = spaceSteps(prefix);
    return (
      sameJson(steps.normalizer, normalizer) &&
      sameJson(steps.pre_tokenizer, preTokenizer) &&
      sameJson(steps.decoder, decoder)
    );
  });
  if (addSpacePrefix === undefined) {
    throw notInGguf(
      'its steps are neither those of byte-level BPE nor those of SentencePiece as Llama 2 has them',
    );
  }
  if (model['ignore_merges'] === true) throw notInGguf('it has ignore_merges');
  const fusesUnknown = model['fuse_unk'] === true || model['byte_fallback'] === true;
  if (typeof model['unk_token'] === 'string' && !fusesUnknown) {
    throw notInGguf('it keeps unknown characters apart (fuse_unk is false)');
  }
  return {model: 'llama', addSpacePrefix};
}

/** The patterns that split text, one after the other, before its bytes become characters; undefined if a step does something else. */
function patternsOf(preTokenizer: unknown): string[] | undefined {
  const patterns: string[] = [];
  const steps = flattened(preTokenizer, 'pretokenizers');
  for (const [i, step] of steps.entries()) {
    const isLast = i === steps.length - 1;
    if (isLast && isByteLevel(step) && step['add_prefix_space'] === false) {
      return step['use_regex'] === false ? patterns : [...patterns, gpt2Pattern];
    }
    const pattern = isolated(step);
    if (pattern === undefined) return undefined;
    patterns.push(pattern);
  }
  return undefined;
}

/** The pattern whose matches a step makes pieces of their own. */
function isolated(step: unknown): string | undefined {
  if (!isRecord(step)) return undefined;
  if (step['type'] === 'Digits' && step['individual_digits'] === true) return '\\p{N}';
  const {type, pattern, behavior, invert} = step;
  if (type !== 'Split' || !isRecord(pattern) || behavior !== 'Isolated' || invert !== false) return undefined;
  return typeof pattern['Regex'] === 'string' ? pattern['Regex'] : undefined;
}

function isByteLevel(step: unknown): step is Record<string, unknown> {
  const [only, ...others] = flattened(step, 'decoders');
  return others.length === 0 && isRecord(only) && only['type'] === 'ByteLevel';
}

function flattened(step: unknown, key: 'pretokenizers' | 'decoders'): unknown[] {
  if (!isRecord(step) || step['type'] !== 'Sequence') return [step];
  const steps = step[key];
  return Array.isArray(steps) ? steps.flatMap(each => flattened(each, key)) : [step];
}
