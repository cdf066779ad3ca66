/** Keepers: which tokens stay. A keeper is one file in this folder and one line in this list. */
export {all} from './all.js';
export {dropKv, type DropKvOptions} from './drop_kv.js';
export {expectedAttention, type ExpectedAttentionOptions} from './expected_attention.js';
export {heaviest, type HeaviestOptions} from './heaviest.js';
export {keyDiff} from './key_diff.js';
export {lastUsed, type UsedOptions} from './last_used.js';
export {mostUsed} from './most_used.js';
export type {BudgetOptions, RefitOptions} from './options.js';
export {snapKv, type SnapKvOptions} from './snap_kv.js';
export {tova} from './tova.js';
export {window, type WindowOptions} from './window.js';
