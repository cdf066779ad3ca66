import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {append} from '../../../ops/append/index.js';
import {decodeEncoding} from '../../../ops/encodings/decode.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {encodeFloat8} from '../../../ops/float8/index.js';
import {gatherBlocks, gatherRows, gatherTokens} from '../../../ops/gather_tokens/index.js';
import {hadamard} from '../../../ops/hadamard/index.js';
import {paramsOf, type IntegerBits} from '../../../ops/encodings/integer.js';
import type {Width} from '../../../ops/encodings/lloyd_max_levels.js';
import {finerStepsOp, inWiderCodes, quantize, type QuantizeOptions} from '../../../ops/integer/index.js';
import {quantizeLloydMax} from '../../../ops/lloyd_max/index.js';
import {expandPartial} from '../../../ops/low_rank/index.js';
import {lmHead} from '../../../ops/lm_head/index.js';
import {runOp} from '../../../ops/run_op.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {goldenTensor, readGolden, type GoldenArray} from '../../support/golden.js';
import {expectAsOnCpu} from '../../support/on_both.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {skip} from '../../support/skip.js';
import {gpuDevice} from '../../support/gpu_device.js';

// The shaders that make, move and decode codes, against the references on cpu and the golden codes, bit for bit.

interface IntegerGolden {
  readonly inputs: Record<string, GoldenArray>;
  readonly cases: (Record<'name' | 'input', string> & {
    readonly bits: IntegerBits;
    readonly group: number;
    readonly axis: 'channel' | 'token';
    readonly symmetric: boolean;
    readonly codes: GoldenArray;
    readonly params: GoldenArray;
    readonly decoded: GoldenArray;
  })[];
}

const golden = readGolden('ops/integer.json') as IntegerGolden;

type Shape = [number, number, number, number];

const random = (seed: number, shape: Shape, spread = 1) =>
  tf.tensor4d(
    randomFloats(
      seed,
      shape.reduce((a, b) => a * b, 1),
      spread,
    ),
    shape,
  );

const layouts: Omit<QuantizeOptions, 'dim'>[] = [
  {bits: 8, groupAxis: 'channel', groupSize: 32, symmetric: false},
  {bits: 4, groupAxis: 'channel', groupSize: 4, symmetric: true},
  {bits: 4, groupAxis: 'token', groupSize: 32, symmetric: false},
  {bits: 2, groupAxis: 'token', groupSize: 5, symmetric: false},
  {bits: 8, groupAxis: 'token', groupSize: 7, symmetric: true},
  {bits: 3, groupAxis: 'token', groupSize: 32, symmetric: false},
  {bits: 5, groupAxis: 'channel', groupSize: 4, symmetric: false},
  {bits: 6, groupAxis: 'token', groupSize: 5, symmetric: false},
];

describeOnBackends(
  'shaders of codes',
  () => {
    for (const {name, input, bits, group, axis, symmetric, ...expected} of golden.cases) {
      it(`quantise to the golden codes, bit for bit: ${name}`, async () => {
        const x = goldenTensor(golden.inputs[input]!);
        const encoding = quantize(x, {dim: x.shape[3], bits, groupAxis: axis, groupSize: group, symmetric});
        const decoded = decodeEncoding(encoding, 0, x.shape[2]);
        await expectClose(encoding.params, expected.params.data, 0, 'params');
        await expectClose(encoding.codes, expected.codes.data, 0, 'codes');
        await expectClose(decoded, Float32Array.from(expected.decoded.data), 0, 'decoded');
        tf.dispose([x, encoding.codes, encoding.params, decoded]);
      });
    }

    for (const [i, layout] of layouts.entries()) {
      it(`quantise and decode as the reference: ${JSON.stringify(layout)}`, () =>
        expectAsOnCpu(
          () => random(i, [2, 3, 64, 33], 10 ** (i - 2)),
          x => {
            const encoding = quantize(x, {...layout, dim: 33});
            return [encoding.params, encoding.codes, decodeEncoding(encoding, 3, 50)];
          },
          0,
        ));
    }

    it('quantise zeros, constants and outliers as the reference', () =>
      expectAsOnCpu(
        () => {
          const rows = [
            [0, 0, -0, 0],
            [0.1, 0.1, 0.1, 0.1],
            [-3.7, -3.7, -3.7, -3.7],
            [1, -2, 1e30, -1e30],
          ];
          return tf.tensor4d([...rows.flat(), 1000, 1000.001, 1000.002, 999.999], [1, 1, 5, 4]);
        },
        x => {
          const encoding = quantize(x, {dim: 4, bits: 4, groupAxis: 'token', groupSize: 4, symmetric: false});
          return [encoding.params, encoding.codes, decodeEncoding(encoding, 0, 5)];
        },
        0,
      ));

    for (const [i, layout] of layouts.filter(({bits}) => bits < 8).entries()) {
      it(`widen codes as the reference: ${JSON.stringify(layout)}`, () =>
        expectAsOnCpu(
          () => tf.mul<tf.Tensor4D>(random(i, [2, 3, 64, 33]), tf.pow(10, random(9, [2, 3, 64, 1], 8))),
          x => {
            const wider = inWiderCodes(quantize(x, {...layout, dim: 33}), 8);
            return [wider.params, wider.codes];
          },
          0,
        ));
    }

    it('halve steps as the reference, up to the ends of what scales and zero points can be', () =>
      expectAsOnCpu(
        () => {
          const scales = [0, 2 ** -130, 2 ** -126, 2 ** -125, 2 ** -122, 1, 2 ** 120];
          const zeros = [0, -1 / 256, 3, -2047, 4096, -8192, 8200, -16384, 32768];
          const words = scales.flatMap(scale => zeros.map(zero => paramsOf(scale, zero)));
          return tf.tensor4d(words, [1, 1, words.length, 1], 'int32');
        },
        params => [1, 2, 4, 6].map(halvings => runOp(finerStepsOp, {params}, {halvings})),
        0,
      ));

    const fewBits: Width[][] = [
      [8, 3, 0, 1, 2],
      [0, 0, 0, 0, 0],
      [4, 6, 5, 2, 8],
    ];

    for (const spread of [1e-4, 1, 30, 1e25]) {
      it(`quantise to the nearest levels and decode as the reference: numbers of ${spread}`, () =>
        expectAsOnCpu(
          () => random(3, [2, 3, 48, 40], spread),
          x => {
            const encoding = quantizeLloydMax(x, fewBits);
            return [encoding.scales, encoding.codes, decodeEncoding(encoding, 3, 40)];
          },
          0,
        ));
    }

    it('quantise zeros and outliers to the nearest levels as the reference', () =>
      expectAsOnCpu(
        () => {
          const rows = [
            Array<number>(40).fill(0),
            Array<number>(40).fill(0.7),
            [...randomFloats(3, 39), 3e38],
          ];
          return tf.tensor4d(Array.from({length: 3 * 16}, (_, row) => rows[row % 3]!).flat(), [1, 3, 16, 40]);
        },
        x => {
          const encoding = quantizeLloydMax(x, fewBits);
          return [encoding.scales, encoding.codes, decodeEncoding(encoding, 0, 16)];
        },
        0,
      ));

    it('keep other tiles of each head that lies beside others', () =>
      expectAsOnCpu(
        () => random(4, [2, 3, 64, 40]),
        x => {
          const indices = Int32Array.of(3, 1, 0, 2, 2, 0, 1, 3, 0, 0, 2, 1);
          const kept = gatherBlocks(quantizeLloydMax(x, fewBits), indices, 16);
          return [kept.scales, kept.codes];
        },
        0,
      ));

    it('keep single tokens of each head in new tiles', () =>
      expectAsOnCpu(
        () => random(4, [2, 3, 64, 40]),
        x => {
          const indices = Int32Array.from({length: 2 * 3 * 32}, (_, i) => (29 * i) % 64);
          const kept = gatherTokens(quantizeLloydMax(x, fewBits), indices);
          return [kept.scales, kept.codes];
        },
        0,
      ));

    for (const format of ['e4m3', 'e5m2'] as const) {
      it(`encode and decode ${format} as the reference, subnormal and saturated codes included`, () =>
        expectAsOnCpu(
          () => {
            // a token whose numbers run through all magnitudes below its largest, and some of ordinary ones
            const all = Array.from({length: 62}, (_, i) => (i % 3 === 0 ? -1 : 1) * 1.37 ** -i);
            return tf.tensor4d([...all, ...randomFloats(5, 62 * 7, 3)], [1, 2, 4, 62]);
          },
          x => {
            const encoding = encodeFloat8(x, {format});
            return [encoding.scales, encoding.codes, decodeEncoding(encoding, 1, 3)];
          },
          0,
        ));

      it(`decode each of the 256 codes of ${format}`, async () => {
        const words = Int32Array.from({length: 64}, (_, i) => {
          const first = 4 * i;
          return first | ((first + 1) << 8) | ((first + 2) << 16) | ((first + 3) << 24);
        });
        const inputs = () => ({
          codes: tf.tensor4d(words, [1, 1, 1, 64], 'int32'),
          scales: tf.ones<tf.Rank.R4>([1, 1, 1, 1]),
        });
        const decode = ({codes, scales}: ReturnType<typeof inputs>) =>
          decodeEncoding({kind: 'float8', dim: 256, format, codes, scales}, 0, 1);
        // NaN is close to no number: it is recognised by not being equal to itself
        await expectAsOnCpu(
          inputs,
          given => {
            const numbers = decode(given);
            return tf.where(tf.equal(numbers, numbers), numbers, tf.fill([1, 1, 1, 256], 12345));
          },
          0,
        );
      });
    }

    it('move words above 2^24 unchanged: append, grow, gather', async () => {
      const words = [16777217, -2137342753, 2147483647, -2147483648, 1, -1, 123456789, 987654321];
      const result = tf.tidy(() => {
        const first = tf.tensor4d(words, [1, 2, 2, 2], 'int32');
        const grown = append(append(undefined, first, 0, 2), first, 2, 8);
        return gatherRows(grown, Int32Array.from([3, 0, 0, 1]));
      });
      await expectClose(
        result,
        [2147483647, -2147483648, 16777217, -2137342753, 1, -1, 123456789, 987654321],
        0,
      );
      result.dispose();
    });

    it('keep whole tokens of an encoding', () =>
      expectAsOnCpu(
        () => random(4, [1, 2, 9, 12]),
        x => {
          const encoding = quantize(x, {
            dim: 12,
            bits: 8,
            groupAxis: 'token',
            groupSize: 4,
            symmetric: false,
          });
          const kept = gatherTokens(encoding, Int32Array.from([8, 1, 1, 0, 5, 7]));
          return [kept.codes, kept.params, gatherRows(x, Int32Array.from([2, 3]))];
        },
        0,
      ));

    it('keep whole blocks of tokens that share scales', () =>
      expectAsOnCpu(
        () => random(4, [1, 2, 13, 12]),
        x => {
          const layout = {dim: 12, bits: 4, groupAxis: 'channel', groupSize: 4, symmetric: false} as const;
          const encoding = quantize(tf.slice(x, [0, 0, 0, 0], [-1, -1, 12, -1]), layout);
          const kept = gatherBlocks(encoding, Int32Array.from([2, 0, 1, 1]), 4);
          return [
            kept.codes,
            kept.params,
            gatherBlocks({kind: 'dense', dim: 12, data: x}, Int32Array.from([3, 0]), 3).data,
          ];
        },
        0,
      ));

    it('refuse an index of the host that names no row, and give zeros for one in a tensor', async () => {
      const data: tf.Tensor4D = tf.ones([1, 1, 3, 2]);
      expect(() => gatherRows(data, Int32Array.from([2, 3, -1]))).to.throw(
        InvalidArgumentError,
        /2 indices name no token; expected integers from 0 to 2/,
      );
      const rows = tf.tidy(() => gatherRows(data, tf.tensor3d([2, 3, -1], [1, 1, 3], 'int32')));
      await expectClose(rows, [1, 1, 0, 0, 0, 0], 0);
      tf.dispose([data, rows]);
    });

    it('transform by Hadamard, expand partials and answer for a vocabulary as the references', async () => {
      await expectAsOnCpu(
        () => [random(1, [1, 2, 3, 24]), random(2, [2, 1, 1, 64])],
        xs => xs.map(x => hadamard(x)),
        2e-6,
      );
      await expectAsOnCpu(
        () => ({
          partial: random(1, [2, 4, 3, 7]),
          basis: random(2, [2, 2, 5, 9]),
          mean: random(3, [2, 2, 1, 9]),
          shift: random(4, [2, 4, 3, 1]),
        }),
        ({partial, basis, mean, shift}) => [
          expandPartial(partial, {basis, mean, shift}),
          expandPartial(partial, {basis}),
          expandPartial(partial, {shift}),
        ],
        2e-6,
      );
      for (const [rows, vocab, dim] of [
        [1, 50, 130],
        [9, 16, 64],
        [5, 33, 1],
      ] as const) {
        await expectAsOnCpu(
          () =>
            [
              tf.tensor2d(randomFloats(1, rows * dim), [rows, dim]),
              tf.tensor2d(randomFloats(2, vocab * dim), [vocab, dim]),
            ] as const,
          ([x, table]) => lmHead(x, table),
          2e-5,
        );
      }
    });

    it('leave nothing behind', () =>
      expectNoLeak(() =>
        tf.tidy(() => {
          const encoding = quantize(random(1, [1, 1, 4, 8]), {...layouts[2]!, dim: 8});
          return [
            decodeEncoding(encoding, 0, 4),
            encodeFloat8(random(1, [1, 1, 4, 8]), {format: 'e4m3'}).codes,
          ];
        }),
      ));

    it('refuse a tensor that is larger than a binding, before the driver does', function () {
      const most = gpuDevice().limits.maxStorageBufferBindingSize;
      const tokens = most / 256 + 1;
      if (most > 2 ** 28)
        skip(this, `this driver binds ${most} bytes; only a small limit is worth a tensor of its size`);
      tf.tidy(() => {
        const x = tf.zeros<tf.Rank.R4>([1, 1, tokens, 64]);
        expect(() => hadamard(x)).to.throw(
          InvalidArgumentError,
          /129 MiB.*128 MiB.*split it by heads or tokens/s,
        );
      });
    });
  },
  testBackends.filter(backend => backend === 'webgpu'),
);
