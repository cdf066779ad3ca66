import type {Activation} from '../../../layers/feed_forward.js';
import {InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {type RopeConfig, ropeFrequencies} from '../../../ops/rotate/rope.js';
import type {AttentionConfig} from './attention.js';

/** Sizes and choices of a Transformer, read from a hub's config.json or a GGUF file's metadata. */
export interface ModelConfig extends AttentionConfig {
  /** `'llama'`, `'gpt2'` or another key of `architectures`, or the name of one that was registered. */
  readonly architecture: string;
  /** Number of tokens in the vocabulary. */
  readonly vocabSize: number;
  /** The most tokens that the model takes. */
  readonly contextLength: number;
  /** Numbers of a hidden state. */
  readonly dim: number;
  /** Numbers per token between the projections of the feed-forward part. */
  readonly hiddenDim: number;
  /** The nonlinearity of the feed-forward part. */
  readonly activation: Activation;
  /** Which projections have biases; `head`: the output head, default false. */
  readonly biases: {
    readonly queryKeyValue: boolean;
    readonly attentionOutput: boolean;
    readonly feedForward: boolean;
    readonly head?: boolean;
  };
  /** Whether the output head is the token embedding. */
  readonly tiedEmbeddings: boolean;
  // what follows has the default of the architecture: files of most have no key for it
  /** Whether a projection gates the feed-forward part. Default true. */
  readonly gated?: boolean;
  /** Normalisation by the root mean square, or by mean and variance and with biases. Default 'rms'. */
  readonly norm?: 'rms' | 'layer';
  /** Where both parts of a block normalise: what goes into them, what comes out, or both. Default 'before'. */
  readonly normPlace?: 'before' | 'after' | 'both';
  /** Whether both parts get the block's input, by norms of their own or by one that they share. Default: one part after the other. */
  readonly parallel?: 'ownNorms' | 'sharedNorm';
  /** Positions are learned vectors, and this row of their table is the first token's. Default: none are. */
  readonly firstPosition?: number;
  /** Whether embedded tokens are normalised. Default false. */
  readonly embeddingNorm?: boolean;
  /** Factor of embedded tokens. Default 1. */
  readonly embeddingScale?: number;
  /** Factor of what each part of a block adds. Default 1. */
  readonly residualScale?: number;
  /** Factor of the logits. Default 1. */
  readonly logitScale?: number;
  /** The bound c of the logits, c tanh(l / c). Default: none. */
  readonly logitSoftCap?: number;
}

const sizes = [
  'vocabSize',
  'contextLength',
  'depths',
  'dim',
  'heads',
  'kvHeads',
  'headDim',
  'hiddenDim',
] as const satisfies readonly (keyof ModelConfig)[];

/** Rotations are made for whole heads before anything else of a model is; real heads have at most 512 numbers. */
const maxHeadDim = 2 ** 16;

/** More depths than any model has; lists by depth are made before the file's tensors are counted. */
const maxDepths = 2 ** 16;

/** A choice for each depth of a model. */
export function byDepth(depths: number, choose: (depth: number) => boolean): boolean[] {
  if (Number.isSafeInteger(depths) && depths >= 0 && depths <= maxDepths) {
    return Array.from({length: depths}, (_, depth) => choose(depth));
  }
  throw new ModelError(`The model's depths is ${depths}; models of at most ${maxDepths} depths are read.`);
}

const factors = [
  'attentionScale',
  'attentionSoftCap',
  'embeddingScale',
  'residualScale',
  'logitScale',
  'logitSoftCap',
] as const satisfies readonly (keyof ModelConfig)[];

/**
 * Whatever a file or a user says, a model is only built of sizes that fit each other.
 * @throws ModelError that names the key.
 */
export function checkModelConfig(config: ModelConfig): void {
  for (const name of sizes) checkCount(name, config[name]);
  const {heads, kvHeads, headDim, normEpsilon, rope, windowRope, depths, window} = config;
  if (headDim > maxHeadDim) {
    throw new ModelError(
      `The model's headDim is ${headDim}; heads of at most ${maxHeadDim} numbers are read.`,
    );
  }
  if (heads % kvHeads !== 0) {
    throw new ModelError(`The model's heads = ${heads} is no multiple of its kvHeads = ${kvHeads}.`);
  }
  if (!(normEpsilon >= 0 && normEpsilon < 1)) {
    throw new ModelError(`The model's normEpsilon is ${normEpsilon}; expected a number from 0 to 1.`);
  }
  if (window !== undefined) checkCount('window', window);
  for (const name of factors) {
    const factor = config[name];
    if (factor === undefined || (Number.isFinite(factor) && factor > 0)) continue;
    throw new ModelError(`The model's ${name} is ${factor}; expected a number above 0.`);
  }
  for (const name of ['rotated', 'windowed'] as const) {
    const choices = config[name];
    if (choices === undefined || choices.length === depths) continue;
    throw new ModelError(
      `The model's ${name} has ${choices.length} entries; expected one for each of ${depths} depths.`,
    );
  }
  for (const each of [rope, windowRope]) if (each !== undefined) checkRope(each, headDim);
}

function checkCount(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw new ModelError(`The model's ${name} is ${value}; expected a whole number >= 1.`);
}

function checkRope(rope: RopeConfig, headDim: number): void {
  if ((rope.rotaryDim ?? headDim) % 2 !== 0) {
    throw new ModelError(
      `The model rotates heads of ${rope.rotaryDim ?? headDim} numbers; pairs need an even number.`,
    );
  }
  const {frequencies, magnitude} = frequenciesOf(rope, headDim);
  if (![...frequencies, magnitude].every(Number.isFinite)) {
    throw new ModelError(`The model's rope ${JSON.stringify(rope)} gives frequencies that are no numbers.`);
  }
}

function frequenciesOf(rope: RopeConfig, headDim: number) {
  try {
    return ropeFrequencies(rope, headDim);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new ModelError(`The model's rotation does not fit its heads: ${error.message}`, {cause: error});
  }
}
