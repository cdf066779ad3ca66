import {cpus} from 'node:os';
import {layerShapes} from '../../../cache/binding/attention_layers.js';
import {planOfLayers} from '../../../cache/plans/of_layers.js';
import type {Plan} from '../../../cache/plans/plan.js';
import {full} from '../../../cache/policies/full.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import {threadCount} from '../../../ops/backends/heap_threads.js';
import {evaluate, planLabel} from '../../evaluate/index.js';
import type {EvaluationReport} from '../../report/report_table.js';
import {checkSameVocabulary, namesOf} from './against.js';
import {withBar} from './progress.js';
import type {NamedText} from './text_args.js';

export interface MeasureOptions {
  readonly plans: readonly Plan[];
  readonly text: NamedText;
  readonly tokens: number;
  readonly chunk: number;
  /** The model whose full cache is the baseline. Default: the model itself. */
  readonly against?: LoadedModel;
  readonly backend: string;
  readonly signal: AbortSignal;
}

/** Evaluates a model with a progress bar. Returns the numbers with the names of model, text and machine. */
export async function measure(loaded: LoadedModel, options: MeasureOptions): Promise<EvaluationReport> {
  const {plans, text, against, backend, signal, ...common} = options;
  if (against !== undefined) checkSameVocabulary(loaded, against);
  const about = {text: text.name, ...ranOn(backend), machine: describeMachine()};
  return withBar('Evaluating', async onProgress => {
    const running = {...common, signal, onProgress};
    if (against === undefined) {
      const evaluation = await evaluate(loaded, text.content, {plans, ...running});
      return {model: loaded.name, ...about, ...evaluation.toJSON()};
    }
    const names = namesOf(loaded, against);
    const contextLength = Math.min(loaded.contextLength, against.contextLength);
    const {rows, ...evaluation} = (
      await evaluate({...against, contextLength}, text.content, {
        ...running,
        compared: [{name: names.model, model: loaded, plans: plansOf(loaded, plans)}],
      })
    ).toJSON();
    const [first, ...others] = rows;
    return {
      ...names,
      ...about,
      ...evaluation,
      rows: [{...first!, plan: `${names.against}, ${first!.plan}`}, ...others],
    };
  });
}

/** The full cache first, then the given plans; without any, the plan that the layers ask for. */
function plansOf({model}: LoadedModel, plans: readonly Plan[]): (Plan | ReturnType<typeof full>)[] {
  const wanted = plans.length > 0 ? plans : [planOfLayers(layerShapes(model))];
  return [full(), ...wanted.filter(plan => planLabel(plan) !== 'full')];
}

/** A backend and its threads, for reports. */
export function ranOn(backend: string): {backend: string; threads?: number} {
  return {backend, ...(backend === 'wasm' && {threads: threadCount()})};
}

/** The machine on which speeds were measured, as text. */
function describeMachine(): string {
  const processors = cpus();
  const processor = processors[0]?.model.trim() ?? 'unknown processor';
  return `${processors.length} x ${processor}, ${process.platform} ${process.arch}, Node ${process.versions.node}`;
}
