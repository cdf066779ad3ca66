import {basename} from 'node:path';
import type {Engine} from '../model.js';
import {importFrom} from './import_from.js';

/** What is used of onnxruntime-node 1.30. */
interface OnnxModule {
  readonly InferenceSession: {
    create(
      path: string,
      options: {intraOpNumThreads: number; interOpNumThreads: number; executionMode: 'sequential'},
    ): Promise<OnnxSession>;
  };
  readonly Tensor: new (
    type: PastType | 'int32' | 'int64',
    data: Float32Array | Int8Array | Uint8Array | Int32Array | BigInt64Array,
    shape: readonly number[],
  ) => OnnxTensor;
}

interface OnnxTensor {
  readonly data: ArrayLike<number>;
}

interface OnnxSession {
  readonly inputMetadata: readonly {
    readonly name: string;
    readonly type: string;
    readonly shape: readonly unknown[];
  }[];
  run(
    feeds: Record<string, OnnxTensor>,
    fetches: Record<string, OnnxTensor | null>,
  ): Promise<Record<string, OnnxTensor>>;
  release(): Promise<void>;
}

/** How a past is stored: floats, or codes of 8 or of twice 4 bits. */
type PastType = keyof typeof cacheNames;

/** What caches are called, in place or copied. */
const cacheNames = {float32: '', int8: 'int8', uint8: 'int4'} as const;

/** Keys or values of a depth in a graph. */
interface Side {
  readonly name: string;
  readonly type: PastType;
  readonly kvHeads: number;
  /** Numbers or bytes of a token in a head. */
  readonly width: number;
}

/**
 * onnxruntime on one thread, with a graph that bench/peers/onnx_decoder.py writes. Its past is of random numbers, since its time does not
 * depend on them.
 *
 * `inPlace`: keys and values are written into buffers that have room. `copied`: each step gives a past that is one token longer, as
 * transformers.js goes on from.
 *
 * @param folder where onnxruntime-node is installed.
 */
export async function openOnnx(folder: string, file: string): Promise<Engine | string> {
  const onnx = await importFrom(folder, 'onnxruntime-node');
  if (typeof onnx === 'string') return onnx;
  const {InferenceSession, Tensor} = onnx as OnnxModule;
  const session = await InferenceSession.create(file, {
    ...{intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential'},
  });
  const sides = sidesOf(session);
  const {type} = sides[0]!;
  let pasts: Record<'inPlace' | 'copied', OnnxTensor[]> = {inPlace: [], copied: []};
  const held = {inPlace: 0, copied: 0};
  const random = ({kvHeads, width}: Side, rows: number) =>
    new Tensor(type, randomPast(type, kvHeads * rows * width), [1, kvHeads, rows, width]);
  const step = async (way: 'inPlace' | 'copied'): Promise<void> => {
    const tokens = held[way];
    const past = pasts[way];
    const results = await session.run(
      {
        ids: new Tensor('int64', BigInt64Array.of(BigInt(100 + (tokens % 997))), [1, 1]),
        lastIndex: new Tensor('int32', Int32Array.of(tokens), [1]),
        total: new Tensor('int32', Int32Array.of(tokens + 1), []),
        ...Object.fromEntries(sides.map(({name}, i) => [`past.${name}`, past[i]!])),
      },
      {
        logits: null,
        ...Object.fromEntries(
          sides.map(({name}, i) => [`present.${name}`, way === 'inPlace' ? past[i]! : null]),
        ),
      },
    );
    if (!Number.isFinite(results['logits']!.data[0])) throw new Error(`${file}: the logits are no numbers.`);
    if (way === 'copied') pasts.copied = sides.map(({name}) => results[`present.${name}`]!);
    held[way] += 1;
  };
  return {
    decoders: (['inPlace', 'copied'] as const).map(way => ({
      ...{backend: 'onnxruntime', shape: basename(file, '.onnx')},
      codec: type === 'float32' ? way : `${cacheNames[type]} ${way}`,
      step: () => step(way),
    })),
    fillTo: tokens => {
      pasts = {
        inPlace: sides.map(side => random(side, tokens + 256)),
        copied: sides.map(side => random(side, tokens)),
      };
      held.inPlace = held.copied = tokens;
      return Promise.resolve();
    },
    dispose: () => session.release(),
  };
}

/** The pasts that a graph takes, in its order. */
function sidesOf({inputMetadata}: OnnxSession): Side[] {
  return inputMetadata
    .filter(({name}) => name.startsWith('past.'))
    .map(({name, type, shape}) => {
      if (!isPastType(type))
        throw new Error(`${name} is of the type ${type}; expected float32, int8 or uint8.`);
      return {name: name.slice('past.'.length), type, kvHeads: Number(shape[1]), width: Number(shape[3])};
    });
}

function isPastType(type: string): type is PastType {
  return type in cacheNames;
}

function randomPast(type: PastType, count: number): Float32Array | Int8Array | Uint8Array {
  if (type === 'float32') return Float32Array.from({length: count}, () => 2 * Math.random() - 1);
  const codes = type === 'int8' ? new Int8Array(count) : new Uint8Array(count);
  for (let i = 0; i < count; i++) codes[i] = 256 * Math.random();
  return codes;
}
