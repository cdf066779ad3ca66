import * as v from 'valibot';
import {ModelError, shown} from '../../base/errors.js';
import {metadataNumber} from '../../base/files/gguf_metadata.js';
import type {Metadata} from '../../base/files/tensor_file.js';
import {isRecord} from '../../base/records.js';
import type {Warn} from '../../base/warn.js';
import {type SamplingOptions, samplingSchema} from '../generate/options.js';

/** How the authors of a hub model sample, by the parsed generation_config.json; empty if they do not, or there is none. */
export function samplingOfHub(generationConfig: unknown, warn: Warn): SamplingOptions {
  if (!isRecord(generationConfig) || generationConfig['do_sample'] !== true) return {};
  const {temperature, top_k: topK, top_p: topP, min_p: minP, typical_p: typicalP} = generationConfig;
  const {repetition_penalty: repetitionPenalty} = generationConfig;
  const said = {temperature, topK, topP, minP, typicalP, repetitionPenalty};
  return accepted(said, 'generation_config.json', warn);
}

/** The same by a GGUF file's `general.sampling.*`, as llama.cpp's converter takes them from generation_config.json. */
export function samplingOfGguf(metadata: Metadata, warn: Warn): SamplingOptions {
  const number = (key: string) => metadataNumber(metadata, `general.sampling.${key}`);
  const said = {
    ...{temperature: number('temp'), topK: number('top_k'), topP: number('top_p')},
    ...{minP: number('min_p'), repetitionPenalty: number('penalty_repeat')},
  };
  return Object.values(said).every(value => value === undefined) ? {} : accepted(said, 'The GGUF file', warn);
}

/** What changes nothing, as files write it: transformers saves every setting. */
const none: Readonly<Record<string, unknown>> = {topK: 0, minP: 0, typicalP: 1, repetitionPenalty: 1};

/** Without a temperature, 1: the files say that tokens are sampled. */
function accepted(
  said: Readonly<Partial<Record<keyof SamplingOptions, unknown>>>,
  file: string,
  warn: Warn,
): SamplingOptions {
  const stated = Object.entries({...said, temperature: said.temperature ?? 1}).filter(
    ([key, value]) => value !== undefined && value !== null && value !== none[key],
  );
  const result = v.safeParse(samplingSchema, Object.fromEntries(stated));
  if (result.success) return result.output;
  const [issue] = result.issues;
  warn(
    `${file} samples with ${v.getDotPath(issue) ?? ''} = ${shown(issue.input)}; ${issue.message}. Its sampling defaults are left out.`,
  );
  return {};
}

/**
 * The chat template in a parsed tokenizer_config.json or chat_template.json: a text, or of a list of named templates the one called "default".
 * @throws ModelError if it is something else.
 */
export function templateOfConfig(config: unknown, file: string): string | undefined {
  const given = isRecord(config) ? config['chat_template'] : undefined;
  const named: unknown = Array.isArray(given)
    ? given.find(entry => isRecord(entry) && entry['name'] === 'default')
    : undefined;
  const template = isRecord(named)
    ? named['template']
    : Array.isArray(given)
      ? undefined
      : (given ?? undefined);
  if (template === undefined || typeof template === 'string') return template;
  throw new ModelError(
    `${file} has chat_template = ${shown(given)}; expected a text, or a list of {name, template}.`,
  );
}
