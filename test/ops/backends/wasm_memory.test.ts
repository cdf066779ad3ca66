import {execFileSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';

// In processes of their own: what they do to tfjs' wasm backend would stay for the tests after them.

/** What a scenario of wasm_memory_child.ts prints. */
function scenario(name: string): unknown {
  const child = fileURLToPath(new URL('wasm_memory_child.ts', import.meta.url));
  const printed = execFileSync(process.execPath, ['--import', 'tsx', child, name], {encoding: 'utf8'});
  return JSON.parse(printed.split('\n').at(-2)!);
}

describe('the wasm heap', () => {
  it('that is full causes an error, leaves caches as they were, and continues when there is room', () => {
    const {messages, tokens, sameAsNever, leaked} = scenario('full') as Record<string, unknown>;
    expect(messages).to.be.an('array').with.length(2);
    for (const message of messages as string[]) {
      expect(message).to.match(
        /^BackendError: tfjs' wasm heap has \d+ MiB and could not grow by the \d+ MiB/,
      );
    }
    expect(tokens, 'tokens before and after the step that failed').to.deep.equal([40, 40]);
    expect(sameAsNever, 'the step once more, as without the failure').to.equal(true);
    expect(leaked, 'tensors of the step that failed').to.equal(0);
  });

  it('holds the weights of a float32 model once: it runs beside 5 % of their bytes', () => {
    const {megabytes, count, same} = scenario('weights') as Record<string, unknown>;
    expect(megabytes).to.be.greaterThan(100);
    expect(count).to.equal(22 * 1024);
    expect(same, 'as with more memory').to.equal(true);
  });

  for (const [obstacle, reason] of [
    ['hidden', /since this version of tfjs-backend-wasm hides its memory\. /],
    ['unlinkable', /since WebAssembly\.Instance\(\): .*memory/],
    ['forbidden', /since code generation disallowed by embedder\. /],
  ] as const) {
    it(`that kernels cannot run on (${obstacle}) is reported once, and plain ops run instead`, () => {
      const {warnings, fused, difference} = scenario(obstacle) as Record<string, unknown>;
      expect(warnings).to.be.an('array').with.length(1);
      const [warning] = warnings as string[];
      expect(warning)
        .to.match(/^eigenkv: fused kernels are off.*tfjs-backend-wasm 4\.22/)
        .and.match(reason);
      expect(fused).to.equal(false);
      expect(difference).to.be.lessThan(1e-5);
    });
  }
});
