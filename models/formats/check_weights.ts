import {ModelError, didYouMean} from '../../base/errors.js';
import {type Warn, warnOnConsole} from '../../base/warn.js';
import type {StoredWeight} from '../architectures/parts/architecture.js';
import type {ModelConfig} from '../architectures/parts/model_config.js';
import {architectureOf} from '../architectures/index.js';
import {fusedAsInFile} from './fused_gguf.js';
import {metadataString} from '../../base/files/gguf_metadata.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {packedFormats} from '../../ops/weights/formats.js';

/** What the hub's library calls the tensor of an output head, in the files of most models. */
const usualHead = 'lm_head.weight';

/** What the hub's files call the tensor of a model's output head, if it has one of its own. */
export function hubHead(config: ModelConfig): string {
  const weights = architectureOf(config).hubWeights({...config, depths: 0, tiedEmbeddings: false});
  return weights.find(isHead)?.tensor ?? usualHead;
}

/** Buffers that older files carry and models make themselves: position numbers, causal masks, frequencies of the rotation. */
const buffers =
  /(^|\.)(position_ids|rotary_emb\.(inv_freq|cos_cached|sin_cached)|rope_(freqs|factors_long|factors_short)\.weight|(attn|attention)\.(bias|masked_bias))$/;

/** What models that read images or sound, too, have beside their text model. */
const otherSenses = /^(model\.)?(vision_tower|vision_model|visual|multi_modal_projector|audio_tower)\./;

/** Names of tensors in one message, at most. */
const mostNames = 8;

/**
 * The tensors of a file that fill a model of this config, by the names that they have there. Everything that the file's
 * header can tell is checked, before a model is built and memory taken. Tensors that such a model has no place for are left
 * out, with a warning that names them.
 *
 * @throws ModelError if a tensor is missing or of another shape than the config says.
 */
export function checkedWeights(
  file: TensorFile,
  config: ModelConfig,
  warn: Warn = warnOnConsole,
): StoredWeight[] {
  if (config.depths > file.tensors.size) {
    throw new ModelError(
      `The model's config says ${config.depths} depths, but there are only ${file.tensors.size} tensors: config and weights ` +
        'contradict each other.',
    );
  }
  const weights = weightsIn(file, config);
  for (const stored of weights) {
    const {tensor, shape} = stored;
    const found = file.tensors.get(tensor);
    if (found === undefined) throw missing(stored, file);
    if (found.shape.join() !== shape.join()) {
      throw new ModelError(
        `Tensor "${tensor}" is [${found.shape.join(', ')}]; by the model's config it should be [${shape.join(', ')}].`,
      );
    }
  }
  const known = new Set(weights.map(({tensor}) => tensor));
  if (config.tiedEmbeddings) known.add(hubHead(config)); // equal to the embedding: see `withOwnHead`
  const others = [...file.tensors.keys()].filter(name => !known.has(name) && !buffers.test(name));
  const unknown = others.filter(name => !otherSenses.test(name));
  if (unknown.length > 0) warn(unknownTensors(unknown));
  const left = others.length - unknown.length;
  if (left > 0) warn(`The parts for images and sound (${left} tensors) are left out: only text is read.`);
  return weights;
}

function missing(stored: StoredWeight, {tensors, format}: TensorFile): ModelError {
  const {tensor} = stored;
  const advice =
    isHead(stored) && format === 'safetensors'
      ? ' If its output head is the token embedding, write "tie_word_embeddings": true into config.json.'
      : didYouMean(tensor, [...tensors.keys()]);
  return new ModelError(
    `The weights lack the tensor "${tensor}", which a model of this config needs.${advice}`,
  );
}

function unknownTensors(names: readonly string[]): string {
  const more = names.length > mostNames ? ` and ${names.length - mostNames} more` : '';
  const list = names.slice(0, mostNames).map(name => `"${name.slice(0, 128)}"`);
  return (
    `The weights hold ${names.length} tensors that a model of this config has no place for: ${list.join(', ')}${more}. ` +
    'They are left out; if the model then writes nonsense, config and weights contradict each other.'
  );
}

/** The names in the file of the variables of a model of this config, whichever of several names it uses. */
export function weightsIn(file: TensorFile, config: ModelConfig): StoredWeight[] {
  const architecture = architectureOf(config);
  if (file.format === 'gguf') {
    const type = metadataString(file.metadata, 'general.architecture') ?? '';
    return fusedAsInFile(architecture.ggufWeights(config, type), file);
  }
  const {hubPrefix} = architecture;
  const head = hubHead(config);
  return architecture.hubWeights(config).map(stored => {
    const {tensor} = stored;
    const bare = tensor.startsWith(hubPrefix) ? tensor.slice(hubPrefix.length) : tensor;
    const canBeHead = isHead(stored) || (isEmbedding(stored) && config.tiedEmbeddings);
    const names = [
      ...[tensor, bare, `language_model.${tensor}`, `model.language_model.${bare}`],
      ...(canBeHead ? [head, usualHead] : []),
    ];
    const found = names.find(name => file.tensors.has(name)) ?? tensor;
    return asPacked({...stored, tensor: found}, file.tensors.get(found)?.dtype);
  });
}

/** The rows of packed matrices are outputs, those of some architectures' other matrices inputs. */
function asPacked(stored: StoredWeight, dtype = ''): StoredWeight {
  if (!(dtype in packedFormats) || stored.transposed || isEmbedding(stored)) return stored;
  return {...stored, transposed: true, shape: stored.shape.toReversed()};
}

/** Whether a tensor is an output head of its own. */
export function isHead({variables}: Pick<StoredWeight, 'variables'>): boolean {
  return variables[0] === 'output/kernel';
}

export function isEmbedding({variables}: Pick<StoredWeight, 'variables'>): boolean {
  return variables[0] === 'embedding/embeddings';
}
