import * as v from 'valibot';
import {InvalidArgumentError, didYouMean, shown} from '../../base/errors.js';
import {atLeast, checkOptions, flag} from '../../base/options.js';
import type {Initializer, LayerArgs} from '../layer_args.js';
import {
  type Constraint,
  type Regularizer,
  type Serialized,
  constraintFrom,
  initializerFrom,
  regularizerFrom,
} from './serialized_parts.js';

/** What both attention layers of Keras take, in camel case. */
export interface KerasAttentionArgs extends LayerArgs {
  /** Share of the attention probabilities that are dropped in training: from 0, below 1. Default 0. */
  dropout?: number;
  /** Whether all projections have biases. Default true. */
  useBias?: boolean;
  /** Whether attention is multiplied by `sigmoid(query W_g + b_g)` before the output projection. Default false. */
  useGate?: boolean;
  /** Tokens see those less than so many tokens away, on both sides. Default: all. */
  slidingWindow?: number;
  /** Seed of dropout. Default: another at each call. */
  seed?: number;
  /** How matrices start. Default `'glorotUniform'`. */
  kernelInitializer?: Serialized<Initializer>;
  /** How biases start. Default `'zeros'`. */
  biasInitializer?: Serialized<Initializer>;
  /** A loss of the matrices. Default: none. */
  kernelRegularizer?: Serialized<Regularizer>;
  /** A loss of the biases. Default: none. */
  biasRegularizer?: Serialized<Regularizer>;
  /** What matrices are kept to in training. Default: anything. */
  kernelConstraint?: Serialized<Constraint>;
  /** What biases are kept to in training. Default: anything. */
  biasConstraint?: Serialized<Constraint>;
}

/** `KerasAttentionArgs`, read. */
export interface KerasAttentionOptions {
  readonly dropout: number;
  readonly useBias: boolean;
  readonly useGate: boolean;
  readonly slidingWindow: number | undefined;
  readonly seed: number | undefined;
  readonly kernel: KerasWeightParts;
  readonly bias: KerasWeightParts;
}

export interface KerasWeightParts {
  readonly initializer: Initializer;
  readonly regularizer: Regularizer | undefined;
  readonly constraint: Constraint | undefined;
}

const share = 'expected a number from 0, below 1';
const entries = {
  dropout: v.optional(v.pipe(v.number(share), v.minValue(0, share), v.ltValue(1, share)), 0),
  useBias: v.optional(flag, true),
  useGate: v.optional(flag, false),
  slidingWindow: v.optional(atLeast(1)),
  seed: v.optional(v.number('expected a number')),
};
const parts = [
  ...['kernelInitializer', 'biasInitializer', 'kernelRegularizer', 'biasRegularizer'],
  ...['kernelConstraint', 'biasConstraint'],
];
/** Of every layer of tfjs; and what Keras writes that says how it computes, or what is known anyway. */
const ofLayers = [
  ...[
    'name',
    'trainable',
    'dtype',
    'inputShape',
    'batchInputShape',
    'batchSize',
    'inputDType',
    'updatable',
    'weights',
  ],
  ...['customObjects', 'flashAttention', 'softmaxRobustMasking', 'queryShape', 'keyShape', 'valueShape'],
];

/**
 * Reads the config of an attention layer of Keras. Keras writes null for what is not set.
 *
 * @param own the schema of what only this class takes.
 * @throws InvalidArgumentError if a value is not allowed, or for a key that is set and that nobody here knows: it may change what is
 *   computed.
 */
export function readArgs<const Own extends v.ObjectEntries>(
  className: string,
  args: KerasAttentionArgs,
  own: Own,
): {own: v.InferOutput<v.StrictObjectSchema<Own, undefined>>; options: KerasAttentionOptions} {
  const owner = args.name === undefined ? className : `${className} "${args.name}"`;
  const given = Object.fromEntries(
    Object.entries(args).filter(([, value]) => value !== null && value !== undefined),
  );
  const known = [...Object.keys(own), ...Object.keys(entries), ...parts, ...ofLayers];
  const unknown = Object.keys(given).find(key => !known.includes(key) && given[key] !== false);
  if (unknown !== undefined) {
    throw new InvalidArgumentError(
      `${owner}: its config says ${unknown} = ${shown(given[unknown])}, which is not known here and may change what it computes.` +
        didYouMean(unknown, known),
    );
  }
  const ofClass = (names: readonly string[]) =>
    Object.fromEntries(names.filter(name => name in given).map(name => [name, given[name]]));
  const checked = checkOptions(owner, v.strictObject(entries), ofClass(Object.keys(entries)));
  return {
    own: checkOptions(owner, v.strictObject(own), ofClass(Object.keys(own))),
    options: {
      ...checked,
      slidingWindow: checked.slidingWindow,
      seed: checked.seed,
      kernel: partsOf(given, 'kernel', 'glorotUniform', owner),
      bias: partsOf(given, 'bias', 'zeros', owner),
    },
  };
}

function partsOf(
  given: KerasAttentionArgs,
  weight: 'kernel' | 'bias',
  initializer: string,
  owner: string,
): KerasWeightParts {
  const [regularizer, constraint] = [given[`${weight}Regularizer`], given[`${weight}Constraint`]];
  const named = (part: string) => `${owner}: ${weight}${part}`;
  return {
    initializer: initializerFrom(given[`${weight}Initializer`] ?? initializer, named('Initializer')),
    regularizer: regularizer === undefined ? undefined : regularizerFrom(regularizer, named('Regularizer')),
    constraint: constraint === undefined ? undefined : constraintFrom(constraint, named('Constraint')),
  };
}
