export {KernelRunner} from './kernel_runner.js';
export {evenRanges, partsOf, scratchOfThreads, splitting} from './parts.js';
export type {ScratchOfThreads} from './pool.js';
