import {Engine} from './engine.js';
import type {Asked} from './protocol.js';

// The worker's entry: the page never waits for the model.

const engine = new Engine(answer => {
  self.postMessage(answer);
});

self.addEventListener('message', ({data}: MessageEvent<Asked>) => {
  engine.take(data);
});
