import {FormatError, ModelError, shown} from '../../base/errors.js';
import {isRecord} from '../../base/records.js';
import {checkPatternCost} from './pattern_cost.js';
import {leastLength, parsePattern} from './pattern_nodes.js';
import {type Fields, needString, readInteger} from './steps/fields.js';
import {readPattern, translatePattern} from './steps/patterns.js';
import {precompiledGrowth} from './steps/precompiled.js';
import type {TokenizerJson} from './tokenizer_json.js';

// The steps of an untrusted tokenizer.json could run for ever or take all memory. Real files
// are far from each of these limits.

/** The deepest nesting of sequences. */
const maxNesting = 8;
/** The most steps of all kinds together. */
const maxSteps = 64;
/** The largest growth of a text by the steps before the vocabulary, or by those after it. */
const maxGrowth = 4096;
/** The most characters of what a step or a model writes before, after or instead of something. */
const maxAffix = 64;
/** The most special tokens around a text. */
const maxTemplate = 64;
/** The most characters of a word that WordPiece looks up in pieces; the time is cubic in it. */
const maxWordLength = 256;
/** The most characters of a token of a unigram vocabulary; the time is quadratic in it. */
const maxUnigramLength = 64;

/**
 * Checks that a tokenizer's steps end on every text, with a result at most 4,096 times as long.
 * @throws FormatError if a step lacks what its type needs, ModelError if it could run for ever or fill the memory.
 */
export function checkSteps(json: TokenizerJson): void {
  checkModel(json.model);
  const walk = new StepWalk();
  const before = walk.growth(json.normalizer) * walk.growth(json.pre_tokenizer);
  const behind = walk.growth(json.decoder);
  walk.growth(json.post_processor);
  if (Math.max(before, behind) > maxGrowth) {
    throw new ModelError(
      `The tokenizer's steps could make a text ${Math.max(before, behind)} times as long (at most ${maxGrowth} are allowed); ` +
        'use another conversion of the model.',
    );
  }
}

const partsOfSequence = ['normalizers', 'pretokenizers', 'processors', 'decoders'];

/** Unicode's longest expansions: a character to 18 by a compatibility form, to 4 by a canonical one, to 3 in lower case. */
const growthOfType: ReadonlyMap<string, number> = new Map(
  Object.entries({
    NFKC: 18,
    NFKD: 18,
    NFC: 4,
    NFD: 4,
    Lowercase: 3,
    BertNormalizer: 12,
    ByteLevel: 3, // bytes of a character
  }),
);

class StepWalk {
  private steps = 0;

  /** The largest growth factor of a text by a step. */
  growth(step: unknown, nesting = 0): number {
    if (step === null || step === undefined) return 1;
    if (!isRecord(step)) throw new FormatError('A step of the tokenizer is not an object.');
    if (++this.steps > maxSteps || nesting > maxNesting) {
      throw new ModelError(
        `The tokenizer has more than ${maxSteps} steps, or sequences nested deeper than ${maxNesting}.`,
      );
    }
    const type = needString(step, 'type');
    if (type === 'Sequence') return this.ofSequence(step, nesting);
    if (type === 'TemplateProcessing') checkTemplate(step);
    if (type === 'Precompiled') return precompiledGrowth(step);
    return (growthOfType.get(type) ?? 1) * growthByAffix(step) * growthByPattern(step);
  }

  private ofSequence(step: Fields, nesting: number): number {
    let product = 1;
    for (const name of partsOfSequence) {
      const parts = step[name] ?? [];
      if (!Array.isArray(parts))
        throw new FormatError(`The tokenizer's sequence has ${name} that are not a list.`);
      for (const part of parts as unknown[]) product *= this.growth(part, nesting + 1);
    }
    return product;
  }
}

/** The growth by a step that writes something for each space or before a text, or between all characters if it searches for an empty text. */
function growthByAffix(step: Fields): number {
  const lengths = ['replacement', 'prepend', 'prefix'].map(key => affixLength(step, key));
  const looksForNothing = ['suffix', 'pad_token', 'word_delimiter_token'].some(key => step[key] === '');
  return Math.max(1, ...lengths) * (looksForNothing ? 3 : 1);
}

function growthByPattern(step: Fields): number {
  if (step['type'] !== 'Replace' && step['type'] !== 'Split') return 1;
  const shortest = checkPattern(step['pattern']);
  if (step['type'] === 'Split') return 1;
  const content = needString(step, 'content');
  // content replaces empty matches between any two characters
  return shortest === 0 ? 1 + content.length : Math.max(1, content.length / shortest);
}

/** The fewest characters that a pattern matches. */
function checkPattern(pattern: unknown): number {
  const read = readPattern(pattern);
  if ('text' in read) return read.text.length;
  const {judged} = translatePattern(read.source);
  checkPatternCost(judged.source);
  return leastLength(parsePattern(judged.source));
}

function checkTemplate({single}: Fields): void {
  if (!Array.isArray(single) || single.length > maxTemplate) {
    throw new FormatError(`The tokenizer's template is not a list of at most ${maxTemplate} parts.`);
  }
  const texts = (single as unknown[]).filter(part => isRecord(part) && 'Sequence' in part).length;
  if (texts > 1) throw new ModelError("The tokenizer's template repeats the text.");
}

function checkModel(model: TokenizerJson['model'] & Fields): void {
  for (const key of ['continuing_subword_prefix', 'continuing_subword_suffix', 'end_of_word_suffix']) {
    affixLength(model, key);
  }
  for (const key of ['unk_token'])
    if (model[key] !== undefined && model[key] !== null) needString(model, key);
  if (model['type'] === 'WordPiece') readInteger(model, 'max_input_chars_per_word', 0, maxWordLength);
  if (model['type'] !== 'Unigram') return;
  if (!Array.isArray(model.vocab))
    throw new FormatError('The unigram vocabulary of the tokenizer is not a list.');
  readInteger(model, 'unk_id', 0, model.vocab.length - 1);
  for (const entry of model.vocab as unknown[]) {
    const [token, score] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof token === 'string' && token.length <= maxUnigramLength && typeof score === 'number') continue;
    throw new FormatError(
      `The tokenizer's vocabulary has ${shown(entry)}; expected a token of at most ${maxUnigramLength} characters and its score.`,
    );
  }
}

function affixLength(step: Fields, key: string): number {
  const value = step[key];
  if (value === undefined || value === null) return 0;
  const text = needString(step, key);
  if (text.length > maxAffix) {
    throw new ModelError(
      `The tokenizer has a ${key} of ${text.length} characters; at most ${maxAffix} are allowed.`,
    );
  }
  return text.length;
}
