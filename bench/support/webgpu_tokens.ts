import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/index.js';
import {type LoadedModel, loadModel} from '../../models/index.js';
import {countCommands} from './gpu_commands.js';
import type {TokenRow} from './webgpu_report.js';

/** Steps that are timed: two moves of 16 tokens. */
const steps = 32;
const plans = ['full', 'quantized:bits=8', 'quantized:bits=4', 'float8'] as const;

/** Decoding of a whole model behind `tokens` tokens: milliseconds of a token, and what it asks of the GPU. Node only. */
export async function tokenRows(
  name: string,
  tokens: number,
  say: (line: string) => void,
): Promise<TokenRow[]> {
  const model = await loadModel(name);
  const rows: TokenRow[] = [];
  for (const plan of plans) {
    const cache = new KVCache(model, plan);
    await step(
      model,
      cache,
      Int32Array.from({length: tokens}, (_, i) => 1 + (i % 1000)),
    );
    for (let i = 0; i < 17; i++) await step(model, cache, Int32Array.of(5)); // compiles, a move of tokens included
    const start = performance.now();
    for (let i = 0; i < steps; i++) await step(model, cache, Int32Array.of(7));
    const ms = (performance.now() - start) / steps;
    const counts = await countCommands(async () => {
      for (let i = 0; i < steps; i++) await step(model, cache, Int32Array.of(9));
    });
    const mean = (count: number) => Math.round((10 * count) / steps) / 10;
    const {dispatches, passes, submits, writes} = counts;
    const row: TokenRow = {
      ...{op: 'token', model: name.split('/').at(-1)!, plan, tokens, ms},
      ...{dispatches: mean(dispatches), passes: mean(passes), submits: mean(submits), writes: mean(writes)},
    };
    say(
      `token ${row.model} ${String(tokens).padStart(6)} ${plan.padEnd(17)} ${ms.toFixed(2).padStart(9)} ms; ` +
        `${row.dispatches} dispatches, ${row.passes} passes, ${row.submits} submits, ${row.writes} writes of uniforms`,
    );
    rows.push(row);
    cache.dispose();
  }
  model.dispose();
  return rows;
}

async function step({model}: LoadedModel, cache: KVCache, ids: Int32Array): Promise<void> {
  const last = tf.tidy(() => {
    const logits = model.apply(tf.tensor2d(ids, [1, ids.length], 'int32'), {cache}) as tf.Tensor3D;
    return tf.slice(logits, [0, ids.length - 1, 0], [1, 1, -1]);
  });
  await last.data();
  last.dispose();
}
