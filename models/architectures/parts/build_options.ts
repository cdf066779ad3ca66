import type {KernelInitializer} from '../../../layers/layer_args.js';
import type {Activations} from '../../../ops/linear/reference.js';
import type {WeightFormat} from '../../../ops/weights/formats.js';

/** How the matrices of a model start and are stored. */
export interface BuildOptions {
  /** How matrices start: 'glorotUniform' to train, 'zeros' if weights are set right after. Packed ones start as zeros. */
  readonly kernelInitializer: KernelInitializer;
  /**
   * How a matrix is stored, by the name of its variable: `'attention_3/query_kernel'`, `'embedding/embeddings'`, `'output/kernel'`.
   * Default: float32.
   */
  readonly formatOf?: ((variable: string) => WeightFormat) | undefined;
  /** What inputs are rounded to before products with packed codes. Default 'int16'. */
  readonly activations?: Activations | undefined;
}

/**
 * The name and the arguments that a layer with matrices takes from these options.
 *
 * @param kernels its matrices by their names in `weights`.
 * @param variableOf the name of a matrix' variable.
 */
export function matrixArgs<const Kernel extends string>(
  {kernelInitializer, formatOf = () => 'float32', activations}: BuildOptions,
  name: string,
  kernels: readonly Kernel[],
  variableOf = (kernel: Kernel) => `${kernel}_kernel`,
) {
  const formats = kernels.map(kernel => formatOf(`${name}/${variableOf(kernel)}`));
  const byKernel = Object.fromEntries(kernels.map((kernel, i) => [kernel, formats[i]!]));
  const weights = formats.every(format => format === formats[0])
    ? formats[0]!
    : (byKernel as Record<Kernel, WeightFormat>);
  return {name, kernelInitializer, weights, activations};
}
