/** Keepers: which tokens stay. A keeper is one file in this folder and one line in this list. */
export {all} from './all.js';
export {heaviest, type HeaviestOptions} from './heaviest.js';
export {lastUsed, type UsedOptions} from './last_used.js';
export {mostUsed} from './most_used.js';
export {window, type WindowOptions} from './window.js';
