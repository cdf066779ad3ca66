import * as tf from '@tensorflow/tfjs';
import type {Rotation} from '../ops/rotate/index.js';
import {type RopeConfig, ropeFrequencies, rotationFor} from '../ops/rotate/rope.js';

/**
 * Cosines and sines of the positions of a text, made once and shared by all depths. Owns its tensors: `dispose` it. Fresh
 * tokens need no others than their own, so that a past which stays small keeps no table of all positions of a long text.
 */
export class RopeTables {
  private table: Rotation | undefined;
  private latest: {readonly start: number; readonly tokens: number; readonly rotation: Rotation} | undefined;

  constructor(
    readonly config: RopeConfig,
    readonly dim: number,
  ) {}

  /**
   * The rotation of tokens at positions `start .. start + tokens`. Its tensors stay the property of this object, until it is
   * asked for another run: all depths of a step ask for the same.
   */
  rotation(start: number, tokens: number): Rotation {
    const {latest} = this;
    if (latest?.start === start && latest.tokens === tokens) return latest.rotation;
    const rotation = rotationFor(this.config, this.dim, start, tokens);
    tf.keep(rotation.cos);
    tf.keep(rotation.sin);
    this.forgetLatest();
    this.latest = {start, tokens, rotation};
    return rotation;
  }

  /** What turns rotated keys at positions `start .. start + tokens` back; its tensors belong to the caller's tidy. */
  inverse(start: number, tokens: number): Rotation {
    const {cos, sin, ...rest} = this.upTo(start + tokens);
    const rows = (table: tf.Tensor2D) => tf.slice(table, [start, 0], [tokens, table.shape[1]]);
    const {magnitude} = ropeFrequencies(this.config, this.dim); // YaRN lengthens keys as it turns them
    const shrink = 1 / magnitude ** 2;
    return {...rest, cos: tf.mul(rows(cos), shrink), sin: tf.mul(rows(sin), -shrink)};
  }

  /** Tables of at least the positions 0 .. positions, rows by position; they stay the property of this object. */
  upTo(positions: number): Rotation {
    const rows = this.table?.cos.shape[0] ?? 0;
    if (this.table !== undefined && positions <= rows) return this.table;
    const {cos, sin, ...rest} = rotationFor(this.config, this.dim, 0, Math.max(256, 2 * rows, positions));
    this.forgetTable();
    this.table = {...rest, cos: tf.keep(cos), sin: tf.keep(sin)};
    return this.table;
  }

  dispose(): void {
    this.forgetTable();
    this.forgetLatest();
  }

  private forgetTable(): void {
    if (this.table !== undefined) tf.dispose([this.table.cos, this.table.sin]);
    this.table = undefined;
  }

  private forgetLatest(): void {
    if (this.latest !== undefined) tf.dispose([this.latest.rotation.cos, this.latest.rotation.sin]);
    this.latest = undefined;
  }
}
