import {control, stopped} from './control.js';

/** How long a thread asks for the next job before it sleeps, in ms: longer than what lies between two kernels of a model's step. */
const awake = 2;

/**
 * What a thread runs: text, since neither bundlers nor loaders of TypeScript may change it, and pages make a worker of a Blob. It gets one
 * message, `{control, memory, module, thread}`, answers 'ready' (or the error), and serves until `left` says stop.
 */
export const workerScript = `
const {words: at, numbers, parts, partNumbers} = ${JSON.stringify(control)};
function serve({control, memory, module, thread}) {
  const words = new Int32Array(control), floats = new Float64Array(control);
  const kernels = Object.values(new WebAssembly.Instance(module, {env: {memory}}).exports);
  const values = [];
  post('ready');
  for (;;) {
    const left = nextPart(words);
    if (left === ${stopped}) return close();
    if (Atomics.compareExchange(words, at.left, left, left - 1) !== left) continue;
    const first = parts + (left - 1) * partNumbers, count = words[at.argumentCount];
    values.length = count;
    for (let i = 0; i < count; i++) values[i] = floats[first + i];
    if (words[at.scratchArgument] >= 0) {
      values[words[at.scratchArgument]] = floats[numbers.scratch] + thread * floats[numbers.scratchBytes];
    }
    try {
      floats[first + partNumbers - 1] = Reflect.apply(kernels[words[at.kernel]], undefined, values);
    } catch {
      Atomics.compareExchange(words, at.trapped, 0, left);
    }
    if (Atomics.sub(words, at.unfinished, 1) === 1 && Atomics.load(words, at.callerSleeps) === 1) Atomics.notify(words, at.unfinished);
  }
}
function nextPart(words) {
  const end = performance.now() + ${awake};
  for (let turn = 1; ; turn++) {
    const left = Atomics.load(words, at.left);
    if (left !== 0) return left;
    if (turn % 512 !== 0 || performance.now() < end) continue;
    Atomics.add(words, at.sleeping, 1);
    Atomics.wait(words, at.left, 0);
    Atomics.sub(words, at.sleeping, 1);
  }
}
let post, close;
function start(message) {
  try {
    serve(message);
  } catch (error) {
    post(String(error));
  }
}
if (typeof self !== 'undefined' && typeof self.postMessage === 'function') {
  post = text => self.postMessage(text);
  close = () => self.close();
  self.onmessage = ({data}) => start(data);
} else {
  const {parentPort} = require('node:worker_threads');
  post = text => parentPort.postMessage(text);
  close = () => parentPort.close();
  parentPort.once('message', start);
}
`;
