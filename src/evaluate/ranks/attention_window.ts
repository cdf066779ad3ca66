import * as tf from '@tensorflow/tfjs';
import {type Scoring, scoringOf} from '../../../ops/attention/scoring.js';
import {batchedMatMul} from '../../../ops/batched_matmul/index.js';
import {eighAsync} from '../../../ops/linalg/eigh/index.js';
import {attentionEntropy, effectiveRank, renyi2Entropy, stableRank} from '../../../ops/linalg/ranks.js';
import {rotate} from '../../../ops/rotate/index.js';
import type {SeenTokens, Watcher} from '../../../cache/watch/watched_cache.js';
import {attentionProbabilities} from '../attention_probabilities.js';

/** Ranks and entropies of the attention matrix of one query head over a window of tokens. */
export interface AttentionRank {
  readonly depth: number;
  readonly head: number;
  /** Tokens of the window; also the largest possible rank. */
  readonly tokens: number;
  readonly effectiveRank: number;
  readonly stableRank: number;
  /** -sum p ln p of a query, nats; mean over the window's queries. */
  readonly entropy: number;
  /** -ln sum p^2 of a query, nats; mean over the window's queries. */
  readonly renyi2Entropy: number;
}

/** Rotated queries and keys of one depth. */
type Window = {readonly queries: tf.Tensor4D; readonly keys: tf.Tensor4D; readonly scoring: Scoring};

/**
 * Watches the first step of a text, and then computes its attention matrices:
 *
 *     P = softmax(scale Q K^T, causal), [tokens, tokens] for each head; with other scores as the layer makes them
 *
 * That step should have a few hundred tokens; the matrices of one depth are in memory at a time.
 */
export class AttentionWindow implements Watcher {
  private readonly windows: Window[] = [];

  see(depth: number, {queries, keys, rotation, start, ...options}: SeenTokens): void {
    if (start > 0) return;
    const rotated = (x: tf.Tensor4D) => tf.keep(rotation ? rotate(x, rotation) : tf.clone(x));
    const {relativeBias, ...scoring} = scoringOf(options, queries.shape[3]);
    this.windows[depth] = {
      queries: rotated(queries),
      keys: rotated(keys),
      scoring: {...scoring, relativeBias: relativeBias && tf.keep(tf.clone(relativeBias))},
    };
  }

  /**
   * Computes the ranks of all attention matrices.
   * @param energy share of the sum of squared singular values that the effective rank keeps, in (0, 1]. Default 0.99.
   * @returns by depth and head; the heads of a batch's texts follow each other.
   */
  async ranks(energy = 0.99): Promise<AttentionRank[]> {
    const ranks: AttentionRank[] = [];
    for (const [depth, window] of this.windows.entries()) {
      const {gram, entropy, renyi2} = tf.tidy(() => {
        const weights = attentionProbabilities(window.queries, window.keys, window.scoring);
        return {
          gram: batchedMatMul(weights, weights, {transposeA: true}),
          entropy: tf.mean(attentionEntropy(weights), 1),
          renyi2: tf.mean(renyi2Entropy(weights), 1),
        };
      });
      const {values, vectors} = await eighAsync(gram);
      const [squares, entropies, renyi2Entropies] = await Promise.all(
        [values, entropy, renyi2].map(tensor => tensor.data<'float32'>()),
      );
      tf.dispose([gram, entropy, renyi2, values, vectors]);
      const [heads, tokens] = values.shape;
      for (let head = 0; head < heads; head++) {
        const ofHead = squares!.slice(head * tokens, (head + 1) * tokens);
        const singularValues = ofHead.map(square => Math.sqrt(Math.max(square, 0)));
        ranks.push({
          depth,
          head,
          tokens,
          effectiveRank: effectiveRank(singularValues, energy),
          stableRank: stableRank(singularValues),
          entropy: entropies![head]!,
          renyi2Entropy: renyi2Entropies![head]!,
        });
      }
    }
    return ranks;
  }

  /** Frees the window, ready for another text. */
  dispose(): void {
    for (const {queries, keys, scoring} of this.windows) {
      tf.dispose([queries, keys]);
      scoring.relativeBias?.dispose();
    }
    this.windows.length = 0;
  }
}
