import type {Policy} from '../../../cache/contract.js';
import {cpus} from 'node:os';
import type {Plan} from '../../../cache/plans/plan.js';
import {full} from '../../../cache/policies/full.js';
import {type LoadedModel, embeddedText} from '../../../models/index.js';
import {
  type EvaluateOptions,
  type EvaluationReport,
  type EvaluationRow,
  evaluate,
  policyLabel,
  textIds,
} from '../../evaluate/index.js';
import {namesOf} from './against.js';
import {progressBar} from './progress.js';
import {type TextChoice, defaultTokens} from './text_args.js';

export interface EvaluateModelOptions extends TextChoice {
  readonly policies: readonly (Plan | Policy)[];
  /** The model whose full cache all is compared with. Default: the model itself. */
  readonly against?: LoadedModel | undefined;
  readonly backend: string;
  readonly signal: AbortSignal;
}

/** Evaluates a model, with a progress bar, and says on what. */
export async function evaluateModel(
  loaded: LoadedModel,
  options: EvaluateModelOptions,
): Promise<EvaluationReport> {
  const {policies, step, text, textName = 'held-out text', against, backend, signal} = options;
  const ids = textIds(loaded.tokenizer, text ?? (await embeddedText('heldOut')), textName);
  const tokens = options.tokens ?? Math.min(ids.length, defaultTokens);
  const bar = progressBar('Evaluating');
  const onProgress = ({done, total}: {done: number; total: number}) => bar.update(done, total);
  const common = {step, tokens, signal, onProgress};
  const about = {text: textName, tokens, step, backend, machine: describeMachine()};
  try {
    if (against === undefined) {
      return {model: loaded.name, ...about, rows: await evaluate(loaded, ids, {policies, ...common})};
    }
    const names = namesOf(loaded, against);
    return {...names, ...about, rows: await compareModels(loaded, against, ids, policies, common)};
  } finally {
    bar.stop();
  }
}

/** The other model's full cache first, then this one's full cache, then its policies. */
async function compareModels(
  loaded: LoadedModel,
  against: LoadedModel,
  ids: readonly number[],
  policies: readonly (Plan | Policy)[],
  options: EvaluateOptions,
): Promise<EvaluationRow[]> {
  const names = namesOf(loaded, against);
  const contextLength = Math.min(loaded.config.contextLength, against.config.contextLength);
  const others = policies.filter(policy => policyLabel(policy) !== 'full');
  const [first, ...rows] = await evaluate({model: against.model, config: {contextLength}}, ids, {
    ...options,
    compared: [{name: names.model, model: loaded.model, policies: [full(), ...others]}],
  });
  return [{...first!, policy: `${names.against}, ${first!.policy}`}, ...rows];
}

/** What the speeds were measured on. */
function describeMachine(): string {
  const processors = cpus();
  const processor = processors[0]?.model.trim() ?? 'unknown processor';
  return `${processors.length} x ${processor}, ${process.platform} ${process.arch}, Node ${process.versions.node}`;
}
