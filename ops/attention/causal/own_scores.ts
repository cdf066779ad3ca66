import type * as tf from '@tensorflow/tfjs';
import type {LocalWindow} from '../attend/visibility.js';
import type {RelativeBias} from '../relative_bias.js';
import {type Scoring, alibiBias} from '../scoring.js';

/** How the queries of a text attend its own keys, `[batch, kvHeads, tokens, dim]`. Inside the caller's tidy. */
export function ownScores(
  {shape: [batch, kvHeads, tokens]}: tf.Tensor4D,
  {scale, window, softCap, alibi, relativeBias}: Scoring,
): OwnScores {
  return {
    ...{tokens, scale, softCap, firstQuery: 0},
    window:
      window === undefined || window >= tokens ? undefined : {size: window, firstQuery: 0, positions: 0},
    relative: relativeBias && {table: relativeBias, firstQuery: 0, positions: 0},
    bias: alibi === true ? alibiBias(0, tokens, tokens - 1, [batch, kvHeads]) : undefined,
  };
}

/** Options of `attend`, for the tokens of a text over itself. */
export interface OwnScores extends Pick<Scoring, 'scale' | 'softCap'> {
  readonly tokens: number;
  readonly firstQuery: 0;
  readonly window?: LocalWindow | undefined;
  readonly relative?: RelativeBias | undefined;
  readonly bias?: tf.Tensor4D | undefined;
}
