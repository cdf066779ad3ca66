/* global EventTarget, MessageEvent, document, setTimeout */
// In the page's place of Worker: loads a model at once, and has no memory to generate.
globalThis.Worker = class extends EventTarget {
  static loads = 0;

  postMessage({id, kind}) {
    const answer = data =>
      setTimeout(() => this.dispatchEvent(new MessageEvent('message', {data: {id, ...data}})));
    if (kind === 'load') {
      document.title = `loaded ${++globalThis.Worker.loads} times`;
      const sizes = {parameters: 1e9, depths: 9, kvHeads: 2, headDim: 64, contextLength: 1024};
      answer({kind: 'loaded', model: {name: 'large', ...sizes, backend: 'wasm', sampleText: 'A text.'}});
    }
    if (kind === 'generate') {
      const failure = {name: 'Out of memory', message: 'Close other tabs.', outOfMemory: true};
      answer({kind: 'failed', task: 'generate', failure});
    }
  }

  terminate() {}
};
