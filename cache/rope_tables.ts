import * as tf from '@tensorflow/tfjs';
import type {Rotation} from '../ops/rotate/index.js';
import {type RopeConfig, ropeFrequencies, rotationFor} from '../ops/rotate/rope.js';

/**
 * Cosines and sines of the positions of a text, made once and shared by all depths. Owns its tensors: `dispose` it.
 */
export class RopeTables {
  private table: Rotation | undefined;

  constructor(
    readonly config: RopeConfig,
    readonly dim: number,
  ) {}

  /** The rotation of tokens at positions `start .. start + tokens`; its tensors belong to the caller's tidy. */
  rotation(start: number, tokens: number): Rotation {
    const {cos, sin, ...rest} = this.upTo(start + tokens);
    const pairs = cos.shape[1];
    return {
      ...rest,
      cos: tf.slice(cos, [start, 0], [tokens, pairs]),
      sin: tf.slice(sin, [start, 0], [tokens, pairs]),
    };
  }

  /** What turns rotated keys at positions `start .. start + tokens` back. */
  inverse(start: number, tokens: number): Rotation {
    const {cos, sin, ...rest} = this.rotation(start, tokens);
    const {magnitude} = ropeFrequencies(this.config, this.dim); // YaRN lengthens keys as it turns them
    const shrink = 1 / magnitude ** 2;
    return {...rest, cos: tf.mul(cos, shrink), sin: tf.mul(sin, -shrink)};
  }

  /** Tables of at least the positions 0 .. positions, rows by position; they stay the property of this object. */
  upTo(positions: number): Rotation {
    const rows = this.table?.cos.shape[0] ?? 0;
    if (this.table !== undefined && positions <= rows) return this.table;
    const {cos, sin, ...rest} = rotationFor(this.config, this.dim, 0, Math.max(256, 2 * rows, positions));
    this.dispose();
    this.table = {...rest, cos: tf.keep(cos), sin: tf.keep(sin)};
    return this.table;
  }

  dispose(): void {
    this.table?.cos.dispose();
    this.table?.sin.dispose();
    this.table = undefined;
  }
}
