import {Engine} from './engine.js';
import type {Asked} from './protocol.js';

// The worker's entry: the page never waits for the model.

/** The package leaves its texts out of bundles. */
const heldOut = new URL('../../models/embedded/held_out.txt', import.meta.url);

const engine = new Engine(
  answer => {
    self.postMessage(answer);
  },
  async () => (await fetch(heldOut)).text(),
);

self.addEventListener('message', ({data}: MessageEvent<Asked>) => {
  engine.take(data);
});
