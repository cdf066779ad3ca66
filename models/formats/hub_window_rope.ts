import {isRecord} from '../../base/records.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import type {AttentionConfig} from '../architectures/parts/attention.js';
import {type HubRopeKeys, ropeFromHub, ropeToHub} from './hub_rope.js';
import {scalingToHub} from './hub_rope_scaling.js';

/** Rotations of layers without a window and of those with one. */
interface HubRopes {
  readonly rope: RopeConfig;
  readonly windowRope: RopeConfig;
}

/**
 * Rotary positions of models that rotate layers with a window otherwise: `rope_parameters` has an object for each kind of layer. In older
 * files only the base of layers with a window is another one (`rope_local_base_freq`), and only the others are stretched.
 * @param options `windowTheta`: the base at layers with a window if the file names none. Default: that of the others.
 * @throws ModelError see `ropeFromHub`.
 */
export function ropesFromHub(
  keys: HubRopeKeys & {readonly rope_local_base_freq?: number | undefined},
  {theta, windowTheta}: {readonly theta?: number; readonly windowTheta?: number} = {},
): HubRopes {
  const {full_attention: full, sliding_attention: sliding} = keys.rope_parameters ?? {};
  if (!isRecord(full) && !isRecord(sliding)) {
    const rope = ropeFromHub(keys, {theta});
    return {rope, windowRope: {theta: keys.rope_local_base_freq ?? windowTheta ?? rope.theta}};
  }
  const of = (parameters: unknown, otherwise: number | undefined) =>
    ropeFromHub(
      {...keys, rope_scaling: undefined, rope_parameters: isRecord(parameters) ? parameters : {}},
      {theta: otherwise},
    );
  return {rope: of(full, theta), windowRope: of(sliding, windowTheta)};
}

/** The keys that `ropesFromHub` reads. */
export function ropesToHub({
  rope = {},
  window,
  windowRope = rope,
}: Pick<AttentionConfig, 'rope' | 'window' | 'windowRope'>): Record<string, unknown> {
  if (window === undefined) return ropeToHub(rope);
  const parameters = ({theta = 10000, scaling}: RopeConfig) => ({
    rope_type: 'default',
    ...(scaling && scalingToHub(scaling)),
    rope_theta: theta,
  });
  return {rope_parameters: {full_attention: parameters(rope), sliding_attention: parameters(windowRope)}};
}
