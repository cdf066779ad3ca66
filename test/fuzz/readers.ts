import {type PlanLike, asPlan} from '../../cache/plans/as_plan.js';
import {expect} from 'chai';
import fc from 'fast-check';
import {readFileSync, readdirSync} from 'node:fs';
import {join, relative} from 'node:path';
import {asPolicy, uniformShapes} from '../../cache/index.js';
import {checkedWeights} from '../../models/formats/check_weights.js';
import {partsOfGguf} from '../../models/formats/model_parts.js';
import {parseHubId} from '../../models/hub/index.js';
import {configFromHub} from '../../models/architectures/index.js';
import {type Tokenizer, tokenizerFromJson} from '../../models/tokenizer/index.js';
import {isRecord} from '../../base/records.js';
import {openGguf} from '../../base/files/gguf.js';
import {openTensorFile} from '../../base/files/open_tensor_file.js';
import {parseShardIndex} from '../../base/files/sharded_safetensors.js';
import {FormatError} from '../../base/errors.js';
import {bytesSource} from '../../base/files/byte_source.js';
import {parseJsonText} from '../../base/files/json_text.js';
import {openSafetensors} from '../../base/files/safetensors.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {safetensorsBytes} from '../base/files/file_bytes.js';
import {ggufFile, hostileGguf} from './gguf_files.js';
import type {Reader} from './harness.js';
import {damagedBytes, damagedJson} from './mutations.js';
import {hostileTokenizerTexts, probes, tokenizerFiles} from './tokenizer_files.js';

const utf8 = new TextEncoder();
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const jsonOf = (bytes: Uint8Array): unknown => parseJsonText(textOf(bytes), 'the file');
const golden = (path: string): URL => new URL(`../golden/${path}`, import.meta.url);

/** JSON damaged in its values, and in its bytes. */
function damagedTexts(bases: readonly string[], further: readonly string[] = []): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    {weight: 3, arbitrary: damagedJson(bases, further).map(text => utf8.encode(text))},
    {weight: 1, arbitrary: damagedBytes(bases.map(text => utf8.encode(text)))},
  );
}

async function readAll(file: TensorFile): Promise<void> {
  for (const [name, {shape}] of file.tensors) {
    const numbers = await file.readFloat32(name);
    expect(numbers.length).to.equal(shape.reduce((product, axis) => product * axis, 1));
    const end = shape.slice(0, -1).reduce((product, axis) => product * axis, 1);
    const stored = await file.readAsStored(name, {start: Math.floor(end / 2), end});
    if (stored !== undefined && !(stored instanceof Uint16Array)) {
      expect(stored.codes.length).to.equal((numbers.length / Math.max(1, end)) * Math.ceil(end / 2));
    }
  }
}

/** Numbers of all tensors as float32 and as codes: 4-bit codes become 7.2 and 1.8 times as long, and the codes of half of them are read twice. */
const widened = (bytes: Uint8Array): number => 11 * bytes.length;

/** What looking through a tokenizer's patterns and encoding `probes` leaves behind as garbage. */
const usedTokenizer = 16 * 2 ** 20;

const tensors = {
  __metadata__: {format: 'pt'},
  a: {dtype: 'F32', shape: [2, 3], data_offsets: [0, 24]},
  b: {dtype: 'BF16', shape: [4], data_offsets: [24, 32]},
  c: {dtype: 'F8_E4M3', shape: [2, 1, 2], data_offsets: [32, 36]},
  d: {dtype: 'I64', shape: [], data_offsets: [36, 44]},
};
const safetensors = safetensorsBytes(
  tensors,
  Uint8Array.from({length: 44}, (_, i) => i),
);

const tinyConfigs = ['llama_rope_llama3', 'llama_rope_yarn', 'llama_biases', 'qwen2', 'gpt2'].map(name =>
  readFileSync(golden(`models/tiny/${name}/config.json`), 'utf8'),
);
const configs = [
  ...tinyConfigs,
  ...readdirSync(golden('architectures')).map(name =>
    readFileSync(golden(`architectures/${name}/config.json`), 'utf8'),
  ),
];
const compressed = JSON.stringify({
  ...(JSON.parse(configs[2]!) as object),
  eigenkv_compression: {
    version: 1,
    rope_mode: 'before',
    key_ranks: [4, 4],
    value_ranks: [4, 4],
    centered: true,
    cache_policies: [{name: 'quantized', options: {bits: 4}}, {name: 'h2o'}],
  },
});
const weights = readFileSync(golden('models/tiny/llama_biases/model.safetensors'));

const shapes = uniformShapes({depths: 3, heads: 2, headDim: 64});

const plans = [
  {plan: 'uniform', policy: {name: 'quantized', options: {bits: 4, groupSize: 32}}},
  {
    plan: 'perDepth',
    policies: [{name: 'h2o'}, {name: 'layered', options: {longTermBits: 4, rankOf: 'keys'}}, {name: 'full'}],
  },
  {
    plan: 'bands',
    shallow: {name: 'sliding'},
    deep: {name: 'lru', options: {threshold: 0.5}},
    shares: [0.5, 0.25, 0.25],
  },
  {plan: 'scenario', name: 'memory'},
  {plan: 'budget', ratio: 0.1},
  {plan: 'budget', bytes: 2e6, tokens: 4096},
].map(plan => JSON.stringify(plan));

const shardIndex = JSON.stringify({
  metadata: {total_size: 10},
  weight_map: {a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors'},
});

/** Files beside a tokenizer.json, in one text. */
const tokenizerFilesBeside = [
  {
    tokenizerConfig: {
      bos_token: '<s>',
      eos_token: {content: '<|im_end|>', lstrip: true},
      pad_token: null,
      extra_special_tokens: ['<img>', {content: '<tool>'}],
      added_tokens_decoder: {
        900: {content: '<|im_start|>', special: true, normalized: false},
        901: {content: '<|im_end|>', special: true},
      },
    },
  },
  {
    tokenizerConfig: {},
    specialTokensMap: {eos_token: '</s>', unk_token: {content: '<unk>'}, additional_special_tokens: ['<x>']},
    addedTokens: {'<x>': 900, '<y>': 901},
  },
].map(files => JSON.stringify(files));

const quiet = () => undefined;

/** Whoever reads it uses it: encodes and decodes texts that make bad patterns and growing steps show. */
function useTokenizer(open: () => Tokenizer): void {
  const warn = console.warn;
  console.warn = () => undefined; // of characters without a token, for thousands of files
  try {
    useTexts(open());
  } finally {
    console.warn = warn;
  }
}

function useTexts(tokenizer: Tokenizer): void {
  for (const text of probes) {
    const ids = tokenizer.encode(text);
    tokenizer.encode(text.slice(0, 50), {addSpecial: false, parseSpecial: false});
    tokenizer.decode(ids.slice(0, 200));
  }
}

/** All readers of files from strangers. */
export const readers: readonly Reader[] = [
  {
    name: 'safetensors',
    whole: [safetensors, readFileSync(golden('weights/types.safetensors'))],
    inputs: fc.oneof(
      damagedBytes([safetensors, readFileSync(golden('weights/types.safetensors'))]),
      fc
        .tuple(damagedJson([JSON.stringify(tensors)]), fc.nat(64), fc.option(fc.integer({min: -8, max: 8})))
        .map(([header, dataBytes, lie]) =>
          safetensorsBytes(
            header,
            new Uint8Array(dataBytes),
            lie === null ? undefined : Math.max(0, utf8.encode(header).length + lie),
          ),
        ),
    ),
    extraBytes: widened,
    async read(bytes) {
      const file = await openTensorFile(bytesSource(bytes));
      await readAll(file);
      await file.close();
    },
  },
  {
    name: 'gguf',
    whole: [readFileSync(golden('models/tiny/llama_biases/model.gguf'))].map(bytes => new Uint8Array(bytes)),
    inputs: fc.oneof(damagedBytes([ggufFile, readFileSync(golden('weights/types.gguf'))]), hostileGguf),
    extraBytes: bytes => widened(bytes) + usedTokenizer,
    async read(bytes) {
      await readAll(await openTensorFile(bytesSource(bytes)));
      const parts = await partsOfGguf(await openGguf(bytesSource(bytes)), 'model.gguf', quiet);
      useTokenizer(() => parts.tokenizer);
      checkedWeights(parts.weights, parts.config, quiet);
    },
  },
  {
    name: 'tokenizer.json',
    whole: tokenizerFiles.map(text => utf8.encode(text)),
    inputs: damagedTexts(tokenizerFiles, hostileTokenizerTexts),
    extraBytes: () => usedTokenizer,
    read: bytes => Promise.resolve().then(() => useTokenizer(() => tokenizerFromJson(jsonOf(bytes), {}))),
  },
  {
    name: 'tokenizer_config.json',
    whole: tokenizerFilesBeside.map(text => utf8.encode(text)),
    inputs: damagedTexts(tokenizerFilesBeside),
    extraBytes: () => usedTokenizer,
    read: bytes =>
      Promise.resolve().then(() => {
        const files = jsonOf(bytes);
        if (!isRecord(files)) throw new FormatError('no object'); // the files come one by one
        const json: unknown = JSON.parse(tokenizerFiles[0]!);
        useTokenizer(() => tokenizerFromJson(json, files['tokenizerConfig'], files, quiet));
      }),
  },
  {
    name: 'config.json',
    whole: [utf8.encode(configs[2])],
    inputs: damagedTexts([...configs, compressed]),
    async read(bytes) {
      const keys = jsonOf(bytes);
      if (!isRecord(keys)) throw new FormatError('no object'); // as `partsOfHubFiles` does
      const file = await openSafetensors(bytesSource(weights));
      checkedWeights(file, configFromHub(keys), quiet);
    },
  },
  {
    name: 'plan',
    whole: plans.map(text => utf8.encode(text)),
    inputs: damagedTexts(plans),
    read: bytes =>
      Promise.resolve().then(() => {
        const plan = asPlan(jsonOf(bytes) as PlanLike);
        for (const {depth} of shapes) plan.policyFor(depth, shapes.length, shapes);
        asPlan(JSON.stringify(plan));
      }),
  },
  {
    name: 'policy',
    whole: [utf8.encode('quantized:bits=4,groupSize=32')],
    inputs: damagedBytes(
      [
        'quantized:bits=4,groupSize=32',
        'h2o',
        'layered:longTermBits=4,rankOf=keys',
        'h2o:__proto__=1,constructor=2',
      ].map(text => utf8.encode(text)),
    ),
    read: bytes => Promise.resolve().then(() => asPolicy(textOf(bytes))),
  },
  {
    name: 'shard index',
    whole: [utf8.encode(shardIndex)],
    inputs: damagedTexts(
      [shardIndex],
      [
        '"../model.safetensors"',
        '"/model.safetensors"',
        '"a/../../model.safetensors"',
        '"..\\\\model.safetensors"',
        '"model.safetensors\\u0000.safetensors"',
      ],
    ),
    read: bytes =>
      Promise.resolve().then(() => {
        const {fileNames} = parseShardIndex(textOf(bytes));
        for (const name of fileNames) expectInside(name);
      }),
  },
  {
    name: 'hub id',
    whole: [utf8.encode('owner/name@refs/pr/1:folder/model.gguf')],
    inputs: damagedBytes(
      [
        ...['owner/name', 'owner/name@refs/pr/1:folder/model.gguf', '../..:../x.gguf', 'a/b:..\\..\\c'],
        ...['hf.co/owner/name:Q4_K_M', 'https://huggingface.co/a/b/blob/refs%2Fpr%2F1/%2e%2e%2Fc/model.gguf'],
      ].map(text => utf8.encode(text)),
    ),
    read: bytes =>
      Promise.resolve().then(() => {
        const {owner, name, revision, file = 'model.safetensors'} = parseHubId(textOf(bytes));
        expectInside(join(owner, name, encodeURIComponent(revision), ...file.split('/')));
        expectInside(join(...file.split('/')));
      }),
  },
];

/** A path leads to something in the folder that it is joined to. */
function expectInside(path: string): void {
  const inside = relative('/chosen', join('/chosen', path));
  expect(inside.startsWith('..') || inside.startsWith('/') || /[\\\0]/.test(inside), path).to.be.false;
}
