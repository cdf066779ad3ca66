import {streamDecoder} from '../../models/index.js';
import type {LoadedModel} from '../../src/index.js';
import {CacheWriter} from './continuation.js';
import {headsHolding} from './held_tokens.js';
import {planOf} from './plan.js';
import type {GenerateRequest, Generation} from './protocol.js';

/** Milliseconds between two pictures of the state; the positions of evicted tokens are read for each. */
const betweenPictures = 80;

/**
 * Continues a prompt twice, with the full cache and with a plan, one token of each in turn. Both sample with the same random
 * numbers, so the texts are equal as long as the logits of both caches are.
 * @throws what `generate` throws; the signal's reason.
 */
export async function generatePair(
  loaded: LoadedModel,
  request: GenerateRequest,
  show: (generation: Generation) => void,
  signal: AbortSignal,
): Promise<void> {
  const ids = loaded.tokenizer.encode(request.prompt);
  const prompt = piecesOf(loaded, ids);
  const full = new CacheWriter(loaded, ids, request, signal);
  const plan = new CacheWriter(loaded, ids, request, signal, planOf(request.bands));
  const picture = async (): Promise<Generation> => {
    const partsAt = firstDifference(full.ids, plan.ids);
    const {depths} = loaded.config;
    return {
      prompt,
      full: full.state(),
      plan: plan.state(),
      partsAt,
      depths: plan.cache.report().map(({byteSize, float32Bytes}) => ({bytes: byteSize, float32Bytes})),
      sharedBytes: plan.cache.sharedBytes,
      headsHolding: await headsHolding(plan.cache, depths, plan.cache.tokens),
    };
  };
  try {
    let shownAt = 0;
    while (!full.ended || !plan.ended) {
      await full.write();
      await plan.write();
      if (performance.now() - shownAt < betweenPictures) continue;
      show(await picture());
      shownAt = performance.now();
    }
    show(await picture());
  } finally {
    await full.dispose();
    await plan.dispose();
  }
}

/** Each token as text; a character that several tokens make comes with its last one. */
function piecesOf({tokenizer}: LoadedModel, ids: readonly number[]): string[] {
  const decoder = streamDecoder(tokenizer, {skipSpecial: false});
  return ids.map(id => decoder.push(id));
}

/** Undefined as long as the shorter one begins the longer one. */
function firstDifference(a: readonly number[], b: readonly number[]): number | undefined {
  const common = Math.min(a.length, b.length);
  const at = a.slice(0, common).findIndex((id, index) => id !== b[index]);
  return at < 0 ? undefined : at;
}
