import type {Activation} from '../../../layers/feed_forward.js';
import {InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {type RopeConfig, ropeFrequencies} from '../../../ops/rotate/rope.js';
import type {ModelCompression} from './compression.js';

/** Sizes and choices of a Transformer, read from a hub's config.json or a GGUF file's metadata. */
export interface ModelConfig {
  /** `'llama'`, `'gpt2'`, or the name of one that was registered. */
  readonly architecture: string;
  /** Number of tokens in the vocabulary. */
  readonly vocabSize: number;
  /** The most tokens that the model takes. */
  readonly contextLength: number;
  /** Number of attention layers, one after the other. */
  readonly depths: number;
  /** Numbers of a hidden state. */
  readonly dim: number;
  /** Query heads per depth. */
  readonly heads: number;
  /** Key and value heads per depth; divides `heads`. */
  readonly kvHeads: number;
  /** Numbers per head. */
  readonly headDim: number;
  /** Numbers per token between the projections of the feed-forward part. */
  readonly hiddenDim: number;
  /** The nonlinearity of the feed-forward part. */
  readonly activation: Activation;
  /** Rotary positions; rotated pairs are (i, i + headDim / 2). Default: none. */
  readonly rope?: RopeConfig;
  /** Added to the mean square, or the variance, in normalisations. */
  readonly normEpsilon: number;
  /** Which projections have biases. */
  readonly biases: {
    readonly queryKeyValue: boolean;
    readonly attentionOutput: boolean;
    readonly feedForward: boolean;
  };
  /** Whether the output head is the token embedding. */
  readonly tiedEmbeddings: boolean;
  /** How attention was compressed: see `compress`. Default: it was not. */
  readonly compression?: ModelCompression;
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

/**
 * Whatever a file or a user says, a model is only built of sizes that fit each other.
 * @throws ModelError that names the key.
 */
export function checkModelConfig(config: ModelConfig): void {
  for (const name of sizes) {
    if (!Number.isSafeInteger(config[name]) || config[name] < 1) {
      throw new ModelError(`The model's ${name} is ${config[name]}; expected a whole number >= 1.`);
    }
  }
  const {heads, kvHeads, headDim, normEpsilon, rope} = config;
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
  if (rope === undefined) return;
  if (headDim % 2 !== 0)
    throw new ModelError(`The model rotates heads of ${headDim} numbers; pairs need an even number.`);
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
