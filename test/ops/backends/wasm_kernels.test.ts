import {setFlagsFromString} from 'node:v8';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {BackendError} from '../../../base/errors.js';
import {kernelsBinary, relaxedKernelsBinary} from '../../../ops/backends/kernel_builds.js';
import {append} from '../../../ops/append/index.js';
import {attend} from '../../../ops/attention/attend/index.js';
import {hasRelaxedSimd} from '../../../ops/backends/relaxed_simd.js';
import {wasmHeap} from '../../../ops/backends/wasm_heap.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {denseEncoding} from '../../support/attention_cases.js';
import {describeOnBackends} from '../../support/backends.js';
import {heapMemory} from '../../support/heap_memory.js';
import {randomFloats} from '../../support/random.js';
import {expectClose} from '../../support/tensors.js';

for (const [name, binaryOf] of [
  ['plain', kernelsBinary],
  ['relaxed', relaxedKernelsBinary],
] as const) {
  describe(`the compiled kernels for ${name} SIMD`, () => {
    const binary = binaryOf();

    // Node 20 has relaxed SIMD behind a flag
    const asksForFlag = !hasRelaxedSimd();
    before(() => asksForFlag && setFlagsFromString('--experimental-wasm-relaxed-simd'));
    after(() => asksForFlag && setFlagsFromString('--no-experimental-wasm-relaxed-simd'));

    it('are valid exactly where they are chosen', () => {
      expect(WebAssembly.validate(binary)).to.equal(name === 'plain' || hasRelaxedSimd());
      expect(hasRelaxedSimd(), 'with the flag').to.be.true;
      if (!asksForFlag) return;
      setFlagsFromString('--no-experimental-wasm-relaxed-simd');
      expect(WebAssembly.validate(binary), 'without the flag').to.equal(name === 'plain');
      expect(hasRelaxedSimd(), 'without the flag').to.be.false;
      setFlagsFromString('--experimental-wasm-relaxed-simd');
    });

    it('export functions only', () => {
      const exports = WebAssembly.Module.exports(new WebAssembly.Module(binary));
      expect(exports).not.to.be.empty;
      expect(exports.every(({kind}) => kind === 'function')).to.be.true;
    });

    it("import tfjs' memory and nothing else", () => {
      const imports = WebAssembly.Module.imports(new WebAssembly.Module(binary));
      expect(imports).to.deep.equal([{module: 'env', name: 'memory', kind: 'memory'}]);
    });

    it("have no data segment and no start function, which would write into tfjs' heap", () => {
      const sections = sectionIds(binary);
      expect(sections).to.include.members([1, 3, 7, 10]); // types, functions, exports, code: the reader works
      expect(sections).to.not.include(11, 'a data segment');
      expect(sections).to.not.include(8, 'a start function');
    });
  });
}

describeOnBackends(
  'the heap of the kernels',
  () => {
    it('may grow between calls and within them', async () => {
      const random = (seed: number, tokens: number) =>
        tf.tensor4d(randomFloats(seed, 2 * tokens * 16), [1, 2, tokens, 16]);
      const [queries, keys, values] = [random(1, 9), random(2, 70), random(3, 70)];
      const run = () =>
        tf.tidy(() =>
          mergePartials([
            attend(queries, denseEncoding(keys), denseEncoding(values), {tokens: 70, scale: 0.25}),
          ]),
        );
      const expected = run();
      const large: tf.Tensor[] = [];
      const before = heapBytes();
      while (heapBytes() === before) large.push(tf.zeros([4, 1 << 20])); // 16 MB each
      const after = run();
      await expectClose(after, expected, 0);
      // a result larger than what is left makes the heap grow inside the op, after the inputs' addresses are known
      const grown = heapBytes();
      const buffer = append(undefined, keys, 0, Math.ceil(grown / (2 * 16 * 4)));
      expect(heapBytes()).to.be.greaterThan(grown);
      await expectClose(tf.slice(buffer, [0, 0, 0, 0], [-1, -1, 70, -1]), keys, 0);
      await expectClose(run(), expected, 0);
      tf.dispose([queries, keys, values, expected, after, buffer, ...large]);
    });

    it('has scratch memory of any size, which moves as it grows', () => {
      const heap = wasmHeap()!;
      const small = heap.scratch(16);
      expect(heap.scratch(8)).to.equal(small);
      const large = heap.scratch(1 << 24);
      expect(heap.scratch(1 << 24)).to.equal(large);
      expect(large % 64, 'aligned to a line of cache').to.equal(0);
    });

    it('keeps none of several results if an op fails before its end', () => {
      const before = tf.backend().numDataIds();
      const failing = (results: readonly tf.TensorInfo[]) => {
        throw new RangeError(`${results.length} results`);
      };
      expect(() => wasmHeap()!.outputs([[3], [4, 5]], failing)).to.throw('2 results');
      expect(() => wasmHeap()!.outputs([[3], [2 ** 30]], () => {})).to.throw(BackendError);
      expect(tf.backend().numDataIds()).to.equal(before);
    });

    it('frees a block after its use, also if that fails', () => {
      const addresses = new Set<number>();
      for (let i = 0; i < 20; i++) {
        const use = (address: number) => {
          addresses.add(address);
          if (i % 2 === 1) throw new RangeError('failed');
        };
        const run = () => wasmHeap()!.withBlock(1 << 24, use);
        if (i % 2 === 1) expect(run).to.throw('failed');
        else run();
      }
      expect(addresses.size).to.equal(1);
    });

    it('knows a tensor that was disposed of', () => {
      const gone = tf.zeros<tf.Rank.R4>([1, 1, 1, 1]);
      gone.dispose();
      expect(() => wasmHeap()!.address(gone)).to.throw();
    });

    for (const capacity of ['small', 'larger than the heap'] as const) {
      it(`takes tensors that were made on another backend, ${capacity}`, async () => {
        const rows = capacity === 'small' ? 2 : Math.ceil(heapBytes() / 8);
        await tf.setBackend('cpu');
        const x = tf.tensor4d(new Float32Array(rows * 2).fill(1, 0, 2).fill(3, 2, 4), [1, 1, rows, 2]);
        const query = tf.ones<tf.Rank.R4>([1, 1, 1, 2]);
        await tf.setBackend('wasm');
        const output = tf.tidy(() =>
          mergePartials([attend(query, denseEncoding(x), denseEncoding(x), {tokens: 2, scale: 0})]),
        );
        await expectClose(output, [2, 2], 1e-6);
        tf.dispose([x, query, output]);
      });
    }
  },
  ['wasm'],
);

/** What tfjs' heap takes now. */
function heapBytes(): number {
  return heapMemory().buffer.byteLength;
}

/** The ids of a module's sections, in order. */
function sectionIds(binary: Uint8Array): number[] {
  const ids: number[] = [];
  for (let at = 8; at < binary.length;) {
    ids.push(binary[at++]!);
    let size = 0;
    for (let shift = 0, byte = 0x80; byte & 0x80; shift += 7) {
      byte = binary[at++]!;
      size |= (byte & 0x7f) << shift;
    }
    at += size;
  }
  return ids;
}
