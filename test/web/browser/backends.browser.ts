import {expect} from 'chai';
import {Visitor, launchOrSkip, stage} from './support.js';

/** Two tokens: a software adapter compiles each shader for seconds, and computes slowly. */
const short = 'tokens=2&temperature=0&live=off&prompt=It%20was';

describe('the playground on other backends', () => {
  const {url, visit} = stage();

  /** What the plan's cache makes the model write. */
  const written = async (backend: string) => {
    const plan = '4*quantized:groupSize=2,residual=0;5*h2o:heavyBudget=2,recentBudget=2';
    const visitor = await visit(`${short}&backend=${backend}&plan=${plan}`);
    await visitor.sees('model', /depths/);
    expect(await visitor.read('notes')).to.equal('');
    await visitor.page.getByRole('button', {name: 'Generate'}).click();
    await visitor.sees('plan-text', /It was/).catch(() => undefined);
    await visitor.waitsForTheEnd();
    const text = await visitor.read('plan-text');
    await visitor.leaves();
    return text;
  };

  it('writes on webgpu what it writes on wasm', async () => {
    expect(await written('webgpu')).to.equal(await written('wasm'));
  });

  it('falls back to wasm where there is no webgpu, and says so', async function () {
    const plain = await launchOrSkip(this, ['--no-sandbox', '--disable-features=WebGPU']);
    const visitor = await Visitor.open(plain, `${url()}#${short}&backend=webgpu`);
    await visitor.sees('notes', /wasm runs instead\. .*WebGPU/);
    expect(await visitor.page.getByLabel('Backend').inputValue()).to.equal('wasm');
    await visitor.page.getByRole('button', {name: 'Generate'}).click();
    await visitor.sees('plan-text', /It was/);
    await visitor.leaves();
    await plain.close();
  });
});
