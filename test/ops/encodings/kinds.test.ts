import {readdirSync, readFileSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import * as v from 'valibot';
import {layoutOf, mapTensors, tensorsOf} from '../../../ops/encodings/encoding.js';
import {encodingKinds} from '../../../ops/encodings/index.js';
import {encodingLayoutSchema, encodingOfLayout} from '../../../ops/encodings/layout.js';
import {tokenKinds} from '../../../ops/encodings/token_kinds.js';
import {oneOfEach} from '../../support/encodings.js';

const folder = new URL('../../../ops/encodings/', import.meta.url);

describe('the kinds of encodings', () => {
  it('are registered, each of a file of ops/encodings', () => {
    const sources = readdirSync(folder).map(name => readFileSync(new URL(name, folder), 'utf8'));
    const declared = sources.flatMap(source =>
      [...source.matchAll(/^export const \w+: (?:Token)?EncodingKind<.*> = \{\n {2}kind: '(\w+)'/gm)].map(
        ([, kind]) => kind,
      ),
    );
    expect(declared.sort()).to.deep.equal(Object.keys(encodingKinds).sort());
    for (const [name, {kind}] of Object.entries(encodingKinds)) expect(kind).to.equal(name);
  });

  it('have different numbers in the descriptors of kernels', () => {
    const numbers = Object.values(tokenKinds).map(({wasm}) => wasm.kind);
    expect(new Set(numbers).size).to.equal(numbers.length);
  });

  it('have an example in the tests', () => {
    tf.tidy(() => {
      const examples = Object.values(oneOfEach()).map(({kind}) => kind);
      expect([...new Set(examples)].sort()).to.deep.equal(Object.keys(encodingKinds).sort());
    });
  });

  it('are made again from their layout as JSON and their named tensors', () => {
    tf.tidy(() => {
      for (const [name, encoding] of Object.entries(oneOfEach())) {
        const layout = v.parse(encodingLayoutSchema, JSON.parse(JSON.stringify(layoutOf(encoding))));
        const tensors = tensorsOf(encoding);
        const made = encodingOfLayout(layout, 3, 16, (tensor, {dtype, heads, rows, columns}) => {
          const stored = tensors[tensor]!.tensor;
          expect([stored.dtype, ...stored.shape], `${name}.${tensor}`).to.deep.equal([
            dtype,
            2,
            heads,
            rows,
            columns,
          ]);
          return stored;
        });
        expect(made, name).to.deep.equal(mapTensors(encoding, tensor => tensor));
      }
    });
  });

  it('refuse layouts of no kind, and fields that a kind does not have', () => {
    for (const layout of [
      {kind: 'sparse', dim: 4},
      {kind: 'dense', dim: 4, bits: 8},
      {kind: 'integer', dim: 4, bits: 7, groupAxis: 'token', groupSize: 4},
      {kind: 'lloydMax', dim: 8, widths: [[7]]},
      {kind: 'lloydMax', dim: 8, widths: []},
      {kind: 'lowRank', dim: 4, rank: 2, latents: {kind: 'lowRank', dim: 2}, mean: false, rotate: false},
    ]) {
      expect(v.safeParse(encodingLayoutSchema, layout).success, JSON.stringify(layout)).to.be.false;
    }
  });
});
