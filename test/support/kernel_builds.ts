import {setFlagsFromString} from 'node:v8';
import {kernelsBinary, relaxedKernelsBinary} from '../../ops/backends/kernel_builds.js';
import {linkKernels} from '../../ops/backends/link_kernels.js';
import {hasRelaxedSimd} from '../../ops/backends/relaxed_simd.js';
import {wasmHeap} from '../../ops/backends/wasm_heap.js';
import {KernelRunner} from '../../ops/threads/index.js';
import {describeOnBackends} from './backends.js';
import {heapMemory} from './heap_memory.js';

/** A `describe` on the wasm backend for each build of its kernels, whichever of them the engine would choose. */
export function describeOnKernelBuilds(name: string, body: (build: 'plain' | 'relaxed') => void): void {
  for (const [build, binaryOf] of [
    ['plain', kernelsBinary],
    ['relaxed', relaxedKernelsBinary],
  ] as const) {
    describeOnBackends(
      `${name} (${build} SIMD)`,
      () => {
        let restore: () => Promise<void>;
        before(async () => {
          // Node 20 has relaxed SIMD behind a flag
          const asksForFlag = build === 'relaxed' && !hasRelaxedSimd();
          if (asksForFlag) setFlagsFromString('--experimental-wasm-relaxed-simd');
          const heap = wasmHeap()!;
          const {kernels, split, hasRelaxedSimd: relaxed} = heap;
          const memory = heapMemory();
          const runner = new KernelRunner({memory, ...linkKernels(binaryOf(), memory)});
          await runner.setThreads(heap.threads);
          Object.assign(heap, {
            kernels: runner.kernels,
            split: runner.split.bind(runner),
            hasRelaxedSimd: build === 'relaxed',
          });
          restore = async () => {
            Object.assign(heap, {kernels, split, hasRelaxedSimd: relaxed});
            await runner.setThreads(1);
            if (asksForFlag) setFlagsFromString('--no-experimental-wasm-relaxed-simd');
          };
        });
        after(() => restore());
        body(build);
      },
      ['wasm'],
    );
  }
}
