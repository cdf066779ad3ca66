import * as tf from '@tensorflow/tfjs';
import type {Rotation} from '../../ops/rotate/index.js';
import {type RopeConfig, ropeFrequencies, rotationFor} from '../../ops/rotate/rope.js';

/**
 * Cosines and sines of rotary positions, computed once and shared by all depths. It owns its tensors: `dispose` it. Fresh tokens use
 * only the rotation of their own positions; a table of all positions exists only if stored keys are rotated.
 */
export class RopeTables {
  #table: Rotation | undefined;
  #latest: {readonly start: number; readonly tokens: number; readonly rotation: Rotation} | undefined;

  constructor(
    readonly config: RopeConfig,
    readonly dim: number,
  ) {}

  /** Bytes of the current tables. */
  get byteSize(): number {
    return bytesOf(this.#table) + bytesOf(this.#latest?.rotation);
  }

  /**
   * Returns the rotation of tokens at positions `start .. start + tokens`. This object owns its tensors and frees them at a request for
   * other positions or at `forgetLatest`; all depths of a step request the same positions.
   */
  rotation(start: number, tokens: number): Rotation {
    const latest = this.#latest;
    if (latest?.start === start && latest.tokens === tokens) return latest.rotation;
    const rotation = kept(rotationFor(this.config, this.dim, start, tokens));
    this.forgetLatest();
    this.#latest = {start, tokens, rotation};
    return rotation;
  }

  /** Returns the rotation that undoes `rotation(start, tokens)`; its tensors belong to the caller's tidy. */
  inverse(start: number, tokens: number): Rotation {
    const {cos, sin, ...rest} = rotationFor(this.config, this.dim, start, tokens);
    return {...rest, cos: tf.mul(cos, this.shrink), sin: tf.mul(sin, -this.shrink)};
  }

  /** Factor that undoes the scaling of a rotation and its inverse: 1 / magnitude^2. YaRN scales keys as it rotates them. */
  get shrink(): number {
    return 1 / ropeFrequencies(this.config, this.dim).magnitude ** 2;
  }

  /** Returns tables of at least the positions `0 .. positions`, one row per position; this object owns their tensors. */
  upTo(positions: number): Rotation {
    const table = this.#table;
    if (table !== undefined && positions <= table.cos.shape[0]) return table;
    this.#table = kept(rotationFor(this.config, this.dim, 0, tableRows(positions)));
    free(table);
    return this.#table;
  }

  /** Frees the latest `rotation`. */
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

/** The tables of all rotary configurations of a cache. The layers of most models share one. */
export class RopeTableSet {
  readonly #tables = new Map<string, RopeTables>();
  /** What was asked for last: the layers of a model share one object, and its text takes a microsecond. */
  #last: {readonly config: RopeConfig; readonly dim: number; readonly tables: RopeTables} | undefined;

  of(config: RopeConfig, dim: number): RopeTables {
    if (this.#last?.config === config && this.#last.dim === dim) return this.#last.tables;
    const tables = this.#equal(config, dim);
    this.#last = {config, dim, tables};
    return tables;
  }

  #equal(config: RopeConfig, dim: number): RopeTables {
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
    this.#last = undefined;
  }
}

/** The fewest spare rows of a table, so that it does not grow with each token. */
const spareRows = 16;

/** Rows of a table that has to grow to so many positions. */
export const tableRows = (positions: number) => positions + Math.max(spareRows, Math.ceil(positions / 16));

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
