import * as tf from '@tensorflow/tfjs';
import {specOf} from '../../base/options.js';
import {layerShapes} from '../binding/attention_layers.js';
import {modelFingerprint} from '../binding/fingerprint.js';
import type {CacheableModel, LayerShape} from '../binding/layer_shape.js';
import {kept} from '../past/past_tensors.js';
import type {CacheState} from '../state.js';
import {checkSameModel, checkSamePolicies, checkSameTables} from './check_same.js';
import {type OpenSnapshot, openSnapshot} from './read_snapshot.js';
import {writeSnapshot} from './write_snapshot.js';

/** Returns a snapshot of a cache that must not change meanwhile: see `KVCache.save`. */
export async function save(state: CacheState): Promise<Uint8Array> {
  const fingerprint = await modelFingerprint(state.model);
  // the fingerprint is of the current weights, so they must be those of the tokens
  if (state.pasts.some(past => past !== undefined)) state.binding.checkWeights();
  return writeSnapshot(state, fingerprint);
}

/** Opens a snapshot and checks that it is of this model: see `KVCache.restore`. */
export async function openFor(
  bytes: Uint8Array,
  model: CacheableModel | readonly LayerShape[],
): Promise<OpenSnapshot> {
  const snapshot = await openSnapshot(bytes);
  checkSameModel(snapshot, layerShapes(model), await modelFingerprint(model));
  return snapshot;
}

/** Fills an empty cache with the same policies from a snapshot. */
export function fill(state: CacheState, snapshot: OpenSnapshot): void {
  checkSamePolicies(snapshot, state.policies.map(specOf));
  checkSameTables(snapshot, state.policies);
  tf.tidy(() => {
    for (const [depth, saved] of snapshot.depths().entries()) {
      if (saved === undefined) continue;
      const {past, rope, ...scoring} = saved;
      state.seen[depth] = {...scoring, rope: rope && state.ropes.of(rope, state.shapes[depth]!.dim)};
      state.pasts[depth] = kept({past}).past;
      state.binding.bind(depth, undefined);
    }
  });
}
