import {readdirSync, readFileSync} from 'node:fs';
import {expect} from 'chai';
import {tilesFor} from '../../../ops/attention/attend/webgpu_tiles.js';
import {shaderTexts} from './shader_texts.js';

const golden = new URL('../../golden/webgpu/', import.meta.url);

describe('the text of shaders', () => {
  for (const [name, text] of Object.entries(shaderTexts)) {
    it(`is what was run and reviewed: ${name}`, () => {
      expect(text).to.equal(readFileSync(new URL(`${name}.wgsl`, golden), 'utf8'));
    });
  }

  it('has no golden file too many', () => {
    const files = readdirSync(golden).filter(name => name.endsWith('.wgsl'));
    expect(files.sort()).to.deep.equal(
      Object.keys(shaderTexts)
        .map(name => `${name}.wgsl`)
        .sort(),
    );
  });

  it('is here of every shader of ops/', () => {
    const ops = new URL('../../../ops/', import.meta.url);
    const sources = readdirSync(ops, {recursive: true, encoding: 'utf8'})
      .filter(path => /webgpu\w*\.ts$/.test(path))
      .map(path => readFileSync(new URL(path, ops), 'utf8'));
    const shaders = sources.flatMap(source =>
      [...source.matchAll(/export const (\w+Shader)\b/g)].map(([, name]) => name!),
    );
    const snapshots = readFileSync(new URL('shader_texts.ts', import.meta.url), 'utf8');
    expect(shaders).to.have.length.above(15);
    expect(shaders.filter(shader => !snapshots.includes(`${shader}.code(`))).to.be.empty;
  });

  it('declares no more workgroup memory than every device has', () => {
    const bytesOf: Readonly<Record<string, number>> = {
      f16: 2,
      f32: 4,
      i32: 4,
      u32: 4,
      'vec2<f32>': 8,
      'vec4<f32>': 16,
      'mat4x4<f32>': 64,
    };
    for (const [name, text] of Object.entries(shaderTexts)) {
      const arrays = [...text.matchAll(/var<workgroup> \w+ : array<(.+), (\d+)>/g)];
      const sizes = arrays.map(([, type, length]) => bytesOf[type!]! * Number(length));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      expect(bytes, name).to.be.at.most(16384);
      expect(text.includes('var<workgroup>'), name).to.equal(bytes > 0);
    }
  });

  it('takes no more workgroup memory than every device has, for heads of any dim', () => {
    const dims = [
      1, 2, 3, 16, 31, 32, 33, 64, 65, 80, 96, 127, 128, 129, 192, 255, 256, 257, 512, 576, 1023, 1024,
    ];
    for (const dim of dims) {
      for (const dimV of dims) {
        for (const rows of [1, 3, 16, 4096]) {
          const tiles = tilesFor({keys: {kind: 'dense', dim}}, dimV, rows);
          expect(tiles.tokens).to.be.at.least(1);
          expect(tiles.rows).to.be.at.least(1);
          const floats =
            tiles.tokens * Math.max(dim | 1, dimV) +
            tiles.rows * dim +
            tiles.rows * tiles.tokens +
            3 * tiles.rows +
            2;
          expect(4 * floats, `${dim} ${dimV} ${rows}`).to.be.at.most(16384);
        }
      }
    }
  });
});
