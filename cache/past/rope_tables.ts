import * as tf from '@tensorflow/tfjs';
import type {Rotation} from '../../ops/rotate/index.js';
import {type RopeConfig, ropeFrequencies, rotationFor} from '../../ops/rotate/rope.js';

/**
 * Cosines and sines of the positions of a text, made once and shared by all depths. Owns its tensors: `dispose` it. Fresh
 * tokens need no others than their own, so that a past which stays small keeps no table of all positions of a long text.
 */
export class RopeTables {
  #table: Rotation | undefined;
  #latest: {readonly start: number; readonly tokens: number; readonly rotation: Rotation} | undefined;

  constructor(
    readonly config: RopeConfig,
    readonly dim: number,
  ) {}

  /** Bytes of the tables that are there now. */
  get byteSize(): number {
    return bytesOf(this.#table) + bytesOf(this.#latest?.rotation);
  }

  /**
   * The rotation of tokens at positions `start .. start + tokens`. Its tensors stay the property of this object, until it is
   * asked for another run or told to forget: all depths of a step ask for the same.
   */
  rotation(start: number, tokens: number): Rotation {
    const latest = this.#latest;
    if (latest?.start === start && latest.tokens === tokens) return latest.rotation;
    const rotation = kept(rotationFor(this.config, this.dim, start, tokens));
    this.forgetLatest();
    this.#latest = {start, tokens, rotation};
    return rotation;
  }

  /** What takes the rotation of keys at positions `start .. start + tokens` back; its tensors belong to the caller's tidy. */
  inverse(start: number, tokens: number): Rotation {
    const {cos, sin, ...rest} = rotationFor(this.config, this.dim, start, tokens);
    return {...rest, cos: tf.mul(cos, this.shrink), sin: tf.mul(sin, -this.shrink)};
  }

  /** What takes back the length that a rotation and its inverse add: YaRN lengthens keys as it rotates them. */
  get shrink(): number {
    return 1 / ropeFrequencies(this.config, this.dim).magnitude ** 2;
  }

  /** Tables of at least the positions 0 .. positions, rows by position; they stay the property of this object. */
  upTo(positions: number): Rotation {
    const table = this.#table;
    if (table !== undefined && positions <= table.cos.shape[0]) return table;
    const rows = positions + Math.max(spareRows, Math.ceil(positions / 16));
    this.#table = kept(rotationFor(this.config, this.dim, 0, rows));
    free(table);
    return this.#table;
  }

  /** Gives back the rotation of the last run. */
  forgetLatest(): void {
    free(this.#latest?.rotation);
    this.#latest = undefined;
  }

  dispose(): void {
    free(this.#table);
    this.#table = undefined;
    this.forgetLatest();
  }
}

/** The tables of all rotations of a cache; the layers of a model mostly share one. */
export class RopeTableSet {
  readonly #tables = new Map<string, RopeTables>();

  of(config: RopeConfig, dim: number): RopeTables {
    const key = JSON.stringify([config, dim]);
    let tables = this.#tables.get(key);
    if (tables === undefined) {
      tables = new RopeTables(config, dim);
      this.#tables.set(key, tables);
    }
    return tables;
  }

  get byteSize(): number {
    return [...this.#tables.values()].reduce((sum, {byteSize}) => sum + byteSize, 0);
  }

  forgetLatest(): void {
    for (const tables of this.#tables.values()) tables.forgetLatest();
  }

  dispose(): void {
    for (const tables of this.#tables.values()) tables.dispose();
    this.#tables.clear();
  }
}

/** Rows more than needed, so that a table does not grow with each token. */
const spareRows = 16;

function kept(rotation: Rotation): Rotation {
  tf.keep(rotation.cos);
  tf.keep(rotation.sin);
  return rotation;
}

function free(rotation: Rotation | undefined): void {
  if (rotation !== undefined) tf.dispose([rotation.cos, rotation.sin]);
}

const bytesOf = (rotation: Rotation | undefined) =>
  rotation === undefined ? 0 : 4 * (rotation.cos.size + rotation.sin.size);
