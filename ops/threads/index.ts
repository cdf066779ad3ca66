export {KernelRunner} from './kernel_runner.js';
export {cacheLine, evenRanges, partsOf, scratchOfThreads, splitting, wholeLines} from './parts.js';
export type {ScratchOfThreads} from './pool.js';
