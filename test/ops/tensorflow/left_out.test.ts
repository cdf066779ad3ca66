import {readFileSync, readdirSync} from 'node:fs';
import {expect} from 'chai';
import manifest from '../../../package.json' with {type: 'json'};

const root = new URL('../../../', import.meta.url);

describe('kernels of tensorflow', () => {
  const files = readdirSync(new URL('ops', root), {recursive: true, encoding: 'utf8'}).sort();

  it('are left out of bundles for browsers, all of them', () => {
    const importing = files.filter(
      file =>
        file.endsWith('.ts') &&
        readFileSync(new URL(`ops/${file}`, root), 'utf8').includes("import './tensorflow.js';"),
    );
    expect(importing).to.have.length.above(5);
    const left = importing.map(file => `./dist/ops/${file.replace(/[^/]+$/, 'tensorflow.js')}`);
    expect(Object.keys(manifest.browser)).to.deep.equal(left);
    expect(new Set(Object.values(manifest.browser))).to.deep.equal(new Set([false]));
  });

  it('are imported by name only among themselves', () => {
    const others = files.filter(file => file.endsWith('.ts') && !/tensorflow|^backends/.test(file));
    for (const file of others) {
      const text = readFileSync(new URL(`ops/${file}`, root), 'utf8');
      // whether the backend runs on a GPU is asked elsewhere, too
      expect(text.replaceAll('/tensorflow_eager.js', ''), file).to.not.match(
        /from '[^']*tensorflow[a-z_]*\.js'/,
      );
    }
  });
});
