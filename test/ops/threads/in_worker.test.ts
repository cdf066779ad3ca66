import {spawnSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {builtUrl} from '../../support/built_package.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

describe('threads in a worker of Node', () => {
  it('run there, compute what one thread computes, and let worker and process end by themselves', async () => {
    const door = await builtUrl('src/index.js');
    const inWorker = `
      const {parentPort} = process.getBuiltinModule('node:worker_threads');
      import(${JSON.stringify(door)}).then(async ({generate, loadModel, threadCount, useBackend}) => {
        const texts = [];
        for (const threads of [2, 1]) {
          await useBackend('wasm', {threads});
          const model = await loadModel();
          let text = '';
          for await (const piece of generate(model, 'It was', {tokens: 8, temperature: 0})) text += piece;
          texts.push({threads: threadCount(), text});
          model.dispose();
          await useBackend('wasm', {threads: 2}); // so that one is left when the worker ends
        }
        parentPort.postMessage(JSON.stringify(texts));
      });`;
    const script = `
      import {Worker} from 'node:worker_threads';
      const worker = new Worker(${JSON.stringify(inWorker)}, {eval: true});
      worker.on('message', text => console.log(text));
      worker.on('exit', code => console.log('exit', code));`;
    const {stdout, stderr, status} = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
      ...{cwd: root, encoding: 'utf8', timeout: 120_000},
    });
    expect({status, stderr}).to.deep.equal({status: 0, stderr: ''});
    const [texts = '', exit] = stdout.trimEnd().split('\n');
    const [two, one] = JSON.parse(texts) as {threads: number; text: string}[];
    expect([two!.threads, one!.threads]).to.deep.equal([2, 1]);
    expect(two!.text).to.equal(one!.text).and.to.have.length.above(8);
    expect(exit).to.equal('exit 0');
  });
});
