import {spawnSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {withoutRethrowing} from '../../../ops/backends/wasm_listeners.js';

const module = new URL('../../../ops/backends/use_backend.ts', import.meta.url).href;
const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Runs a program that starts the wasm backend and then does something. */
function run(then: string) {
  const program = `const {useBackend} = await import('${module}');\nawait useBackend('wasm');\n${then}`;
  const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
  return spawnSync(process.execPath, args, {cwd: root, encoding: 'utf8'});
}

describe('a program in Node that started the wasm backend', () => {
  for (const [what, code] of [
    ['an error that nobody catches', "throw new Error('of the program');"],
    [
      'a rejection that nobody handles',
      "Promise.reject(new Error('of the program')); await new Promise(resolve => setTimeout(resolve, 1000));",
    ],
  ] as const) {
    it(`prints ${what}, and nothing of tfjs' script`, () => {
      const {stderr, status} = run(code);
      expect(status).to.equal(1);
      expect(stderr).to.contain('Error: of the program').and.have.length.below(2000);
    });
  }

  it('keeps its own listeners, those that it adds meanwhile too', async () => {
    const events = ['uncaughtException', 'unhandledRejection'] as const;
    const own = [() => undefined, () => undefined];
    // as Emscripten writes them, and as esbuild and terser shorten them
    const rethrowing = [
      'function(ex){if(!(ex instanceof ExitStatus)){throw ex}}',
      'function (ex) { if (!(ex instanceof ExitStatus)) {\n    throw ex;\n  } }',
      'function(e){if(!(e instanceof t))throw e}',
      'function (reason) { throw reason; }',
      'function(e){throw e}',
    ].map(text => Object.assign(() => undefined, {toString: () => text}));
    const former = events.map(event => process.rawListeners(event));
    try {
      process.on(events[0], own[0]!);
      const result = await withoutRethrowing(async () => {
        for (const event of events) for (const listener of rethrowing) process.on(event, listener);
        process.on(events[1], own[1]!);
        return Promise.resolve('started');
      });
      expect(result).to.equal('started');
      events.forEach((event, i) =>
        expect(process.rawListeners(event)).to.deep.equal([...former[i]!, own[i]!]),
      );
    } finally {
      for (const event of events) {
        for (const listener of [...own, ...rethrowing]) process.removeListener(event, listener);
      }
    }
  });
});
