export {KernelRunner, type KernelName} from './kernel_runner.js';
export {type Range, evenRanges, partsOf, scratchOfThreads, splitting} from './parts.js';
export type {ScratchOfThreads} from './pool.js';
