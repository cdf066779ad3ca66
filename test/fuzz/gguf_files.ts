import fc from 'fast-check';
import {concat, ggufBytes, ggufString, ggufTypes, keyValue, u32, u64} from '../base/files/file_bytes.js';

// GGUF files whose structure is sound but for what it says: lengths, counts, types, offsets, nesting.

const text = (key: string, value: string) => keyValue(key, ggufTypes.string, ggufString(value));
const number = (key: string, value: number) => keyValue(key, ggufTypes.uint32, u32(value));
const real = (key: string, value: number) => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return keyValue(key, ggufTypes.float32, bytes);
};
const texts = (key: string, values: readonly string[]) =>
  keyValue(
    key,
    ggufTypes.array,
    concat(u32(ggufTypes.string), u64(values.length), ...values.map(ggufString)),
  );

const tokens = ['<unk>', 'a', 'b', 'Ġ', 'aa', 'ab', 'c', '!'];
const keys = [
  text('general.architecture', 'llama'),
  number('llama.embedding_length', 4),
  number('llama.attention.head_count', 2),
  number('llama.attention.head_count_kv', 1),
  number('llama.block_count', 1),
  number('llama.context_length', 64),
  number('llama.feed_forward_length', 8),
  real('llama.attention.layer_norm_rms_epsilon', 1e-5),
  real('llama.rope.freq_base', 10_000),
  text('tokenizer.ggml.model', 'gpt2'),
  text('tokenizer.ggml.pre', 'llama-bpe'),
  texts('tokenizer.ggml.tokens', tokens),
  texts('tokenizer.ggml.merges', ['a a', 'a b']),
  number('tokenizer.ggml.eos_token_id', 0),
  keyValue('tokenizer.ggml.add_bos_token', ggufTypes.bool, Uint8Array.of(0)),
];
const tensors = [
  {name: 'token_embd.weight', axes: [4, 8], type: 0, offset: 0},
  {name: 'blk.0.attn_q.weight', axes: [4, 4], type: 1, offset: 128},
  {name: 'output_norm.weight', axes: [4], type: 0, offset: 160},
  {name: 'rope_freqs.weight', axes: [1], type: 0, offset: 192},
];

/** A whole file of a model that lacks most of its tensors. */
const ones = (bytes: number): Uint8Array => new Uint8Array(new Float32Array(bytes / 4).fill(1).buffer);
export const ggufFile = ggufBytes({keys, tensors, data: ones(224)});

const claim = fc.constantFrom(
  ...[
    0n,
    1n,
    2n,
    7n,
    31n,
    255n,
    65_536n,
    2n ** 20n,
    2n ** 24n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 53n,
    2n ** 64n - 1n,
  ],
);

/** An array in arrays, the counts of which lie or not. */
function nestedArrays(depth: number, count: bigint, innermost: Uint8Array): Uint8Array {
  let value = innermost;
  for (let i = 0; i < depth; i++)
    value = concat(u32(ggufTypes.array), u64(i === depth - 1 ? count : 1), value);
  return value;
}

const hostileKey = fc.oneof(
  fc
    .record({
      key: fc.constantFrom('tokenizer.ggml.tokens', 'x', '__proto__', 'general.alignment'),
      type: fc.nat(14),
      count: claim,
    })
    .map(({key, type, count}) =>
      keyValue(key, ggufTypes.array, concat(u32(type), u64(count), new Uint8Array(32))),
    ),
  fc
    .record({depth: fc.nat(40), count: claim})
    .map(({depth, count}) =>
      keyValue('nested', ggufTypes.array, nestedArrays(depth, count, concat(u32(4), u64(0)))),
    ),
  fc
    .record({
      name: fc.constantFrom(
        ...[
          'block_count',
          'embedding_length',
          'attention.head_count',
          'attention.key_length',
          'context_length',
          'vocab_size',
          'rope.dimension_count',
          'expert_count',
        ],
      ),
      value: claim,
    })
    .map(({name, value}) => keyValue(`llama.${name}`, ggufTypes.uint64, u64(value))),
  fc.constantFrom(
    text('tokenizer.ggml.pre', '__proto__'),
    text('tokenizer.ggml.model', 'llama'),
    text('general.architecture', 'constructor'),
    texts('tokenizer.ggml.tokens', ['__proto__', 'constructor', 'a', 'a']),
    texts('tokenizer.ggml.merges', ['a a', 'aa a', 'a aa', 'aa aa', ' ', 'a  a']),
    // many empty things: each takes a few bytes in the file and more in memory
    texts('empty', new Array<string>(3000).fill('')),
    keyValue(
      'many',
      ggufTypes.array,
      concat(u32(ggufTypes.array), u64(400), ...Array.from({length: 400}, () => concat(u32(4), u64(0)))),
    ),
    keyValue('bools', ggufTypes.array, concat(u32(ggufTypes.bool), u64(4000), new Uint8Array(4000))),
  ),
);

const hostileTensor = fc.record({
  name: fc.constantFrom('token_embd.weight', 'a', '__proto__', ''),
  axes: fc.array(claim, {maxLength: 6}),
  type: fc.nat(45),
  offset: claim,
});

/** One time of five. */
const seldom = <T, U>(arbitrary: fc.Arbitrary<T>, otherwise: U): fc.Arbitrary<T | U> =>
  fc.oneof({weight: 1, arbitrary}, {weight: 4, arbitrary: fc.constant(otherwise)});

/** A file with keys left out, replaced or added, tensors likewise, and counts that may lie. */
export const hostileGguf = fc
  .record({
    dropped: fc.array(fc.nat(keys.length - 1), {maxLength: 2}),
    added: fc.array(hostileKey, {maxLength: 2}),
    hostile: seldom(fc.array(hostileTensor, {minLength: 1, maxLength: 2}), []),
    keepTensors: fc.boolean(),
    keyCount: seldom(claim, undefined),
    tensorCount: seldom(claim, undefined),
    dataBytes: seldom(fc.constantFrom(0, 32, 4096), 224),
    version: seldom(fc.constantFrom(2, 1, 0x3000000), 3),
  })
  .map(({dropped, added, hostile, keepTensors, keyCount, tensorCount, dataBytes, version}) =>
    ggufBytes({
      version,
      keys: [...keys.filter((_, i) => !dropped.includes(i)), ...added],
      tensors: [...(keepTensors ? tensors : []), ...hostile],
      keyCount,
      tensorCount,
      data: ones(dataBytes),
    }),
  );
