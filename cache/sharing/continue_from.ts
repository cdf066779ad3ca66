import {InvalidArgumentError} from '../../base/errors.js';
import type {RopeTables} from '../past/rope_tables.js';
import {sharePast} from '../past/past_tensors.js';
import {expectWholeStep} from '../past/whole_step.js';
import type {CacheState} from '../state.js';

/** Replaces the tokens of one cache by those of another: see `KVCache.continueFrom`. */
export function continueFrom(state: CacheState, other: CacheState): void {
  if (state.signature !== other.signature) {
    throw new InvalidArgumentError(
      'These two caches have different layer shapes, policies or profiles; make one with the model and the plan of the other.',
    );
  }
  expectWholeStep(other.tokensOfDepths);
  state.binding.bindAs(other.binding);
  state.forget();
  for (const [depth, past] of other.pasts.entries()) {
    const seen = other.seen[depth];
    const own = (rope: RopeTables | undefined) => rope && state.ropes.of(rope.config, rope.dim);
    state.seen[depth] = seen && {
      ...seen,
      rope: own(seen.rope),
      latents: seen.latents && {...seen.latents, rope: own(seen.latents.rope)},
    };
    if (past !== undefined) sharePast(past);
    state.replace(depth, past);
  }
}
