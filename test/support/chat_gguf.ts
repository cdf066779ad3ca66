import {readFile} from 'node:fs/promises';
import {llama} from '../../models/architectures/llama.js';
import {configFromHub} from '../../models/architectures/index.js';
import {concat, ggufBytes, ggufString, ggufTypes, keyValue, u32, u64} from '../base/files/file_bytes.js';

const embedded = (file: string) => readFile(new URL(`../../models/embedded/${file}`, import.meta.url));

/** `<s>`, each message in a paragraph of its own, and what the assistant begins with: the embedded model knows no roles. */
const template =
  "{{ bos_token }}{% for message in messages %}{{ message.content + '\\n\\n' }}{% endfor %}" +
  '{% if add_generation_prompt %}{{ "It was" }}{% endif %}';

interface TokenizerJson {
  readonly added_tokens: readonly {readonly id: number}[];
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly string[])[];
  };
}

/** The bundled model as one GGUF file with a chat template: what the first example of the README loads. */
export async function chatGguf(): Promise<Uint8Array> {
  const config = JSON.parse((await embedded('config.json')).toString()) as Record<string, number>;
  const tokenizer = JSON.parse((await embedded('tokenizer.json')).toString()) as TokenizerJson;
  return ggufBytes({
    keys: [...modelKeys(config), ...vocabularyKeys(tokenizer)],
    ...tensorsOf(await embedded('model.safetensors'), config),
  });
}

/** As "qwen2", whose queries and keys lie in GGUF files as they do in safetensors; those of "llama" are permuted. */
const kind = 'qwen2';

const text = (key: string, value: string) => keyValue(key, ggufTypes.string, ggufString(value));
const whole = (key: string, value: number) => keyValue(key, ggufTypes.uint32, u32(value));
const float = (key: string, value: number) =>
  keyValue(key, ggufTypes.float32, new Uint8Array(Float32Array.of(value).buffer));

function modelKeys(config: Readonly<Record<string, number>>): Uint8Array[] {
  const counts = {
    context_length: 'max_position_embeddings',
    embedding_length: 'hidden_size',
    block_count: 'num_hidden_layers',
    feed_forward_length: 'intermediate_size',
    'attention.head_count': 'num_attention_heads',
    'attention.head_count_kv': 'num_key_value_heads',
    'attention.key_length': 'head_dim',
    'attention.value_length': 'head_dim',
    'rope.dimension_count': 'head_dim',
    vocab_size: 'vocab_size',
  };
  return [
    text('general.architecture', kind),
    ...Object.entries(counts).map(([key, name]) => whole(`${kind}.${key}`, config[name]!)),
    float(`${kind}.attention.layer_norm_rms_epsilon`, config['rms_norm_eps']!),
    float(`${kind}.rope.freq_base`, config['rope_theta']!),
  ];
}

function vocabularyKeys({added_tokens: added, model: {vocab, merges}}: TokenizerJson): Uint8Array[] {
  const tokens = Object.keys(vocab).sort((a, b) => vocab[a]! - vocab[b]!);
  const special = new Set(added.map(({id}) => id));
  const array = (key: string, type: number, values: readonly Uint8Array[]) =>
    keyValue(`tokenizer.ggml.${key}`, ggufTypes.array, concat(u32(type), u64(values.length), ...values));
  return [
    text('tokenizer.ggml.model', 'gpt2'),
    text('tokenizer.ggml.pre', 'smollm'),
    array('tokens', ggufTypes.string, tokens.map(ggufString)),
    array(
      'token_type',
      ggufTypes.uint32,
      tokens.map((_, id) => u32(special.has(id) ? 3 : 1)),
    ),
    array(
      'merges',
      ggufTypes.string,
      merges.map(pair => ggufString(typeof pair === 'string' ? pair : pair.join(' '))),
    ),
    whole('tokenizer.ggml.bos_token_id', 1),
    whole('tokenizer.ggml.eos_token_id', 2),
    text('tokenizer.chat_template', template),
  ];
}

const halfPrecision = 1;

/** The float16 tensors of a safetensors file under their GGUF names, each on a multiple of 32 bytes. */
function tensorsOf(file: Uint8Array, hubConfig: Readonly<Record<string, unknown>>) {
  const headerLength = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerLength))) as Readonly<
    Record<string, {dtype: string; shape: number[]; data_offsets: [number, number]}>
  >;
  const config = configFromHub(hubConfig);
  const ggufNames = llama.ggufWeights(config, kind);
  const pieces: Uint8Array[] = [];
  let offset = 0;
  const tensors = llama.hubWeights(config).map(({tensor: name}, i) => {
    const {dtype, shape, data_offsets: ends} = header[name]!;
    if (dtype !== 'F16') throw new Error(`${name} is ${dtype}, not F16.`);
    const bytes = file.subarray(8 + headerLength + ends[0], 8 + headerLength + ends[1]);
    const padding = new Uint8Array((32 - (bytes.length % 32)) % 32);
    pieces.push(bytes, padding);
    const tensor = {name: ggufNames[i]!.tensor, axes: shape.toReversed(), type: halfPrecision, offset};
    offset += bytes.length + padding.length;
    return tensor;
  });
  return {tensors, data: concat(...pieces)};
}
