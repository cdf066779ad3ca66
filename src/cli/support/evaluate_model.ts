import {cpus} from 'node:os';
import type {Plan} from '../../../cache/plan.js';
import type {Policy} from '../../../cache/policy.js';
import {type LoadedModel, embeddedText} from '../../../models/index.js';
import {type EvaluationReport, evaluate, textIds} from '../../evaluate/index.js';
import {progressBar} from './progress.js';
import {type TextChoice, defaultTokens} from './text_args.js';

export interface EvaluateModelOptions extends TextChoice {
  readonly policies: readonly (Plan | Policy)[];
  readonly backend: string;
  readonly signal: AbortSignal;
}

/** Evaluates a model, with a progress bar, and says on what. */
export async function evaluateModel(
  {model, tokenizer, config, name}: LoadedModel,
  options: EvaluateModelOptions,
): Promise<EvaluationReport> {
  const {policies, step, text, textName = 'held-out text', backend, signal} = options;
  const ids = textIds(tokenizer, text ?? (await embeddedText('heldOut')), textName);
  const tokens = options.tokens ?? Math.min(ids.length, defaultTokens);
  const bar = progressBar('Evaluating');
  const onProgress = ({done, total}: {done: number; total: number}) => bar.update(done, total);
  try {
    const rows = await evaluate({model, config}, ids, {policies, step, tokens, signal, onProgress});
    return {model: name, text: textName, tokens, step, backend, machine: describeMachine(), rows};
  } finally {
    bar.stop();
  }
}

/** What the speeds were measured on. */
function describeMachine(): string {
  const processors = cpus();
  const processor = processors[0]?.model.trim() ?? 'unknown processor';
  return `${processors.length} x ${processor}, ${process.platform} ${process.arch}, Node ${process.versions.node}`;
}
