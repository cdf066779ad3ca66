import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, didYouMean, shown} from '../base/errors.js';
import type {LinearProduct} from '../ops/linear/index.js';
import {type Activations, activationsAllowed} from '../ops/linear/reference.js';
import {type WeightFormat, recordsShape, weightFormats} from '../ops/weights/formats.js';
import type {PackedMatrix} from '../ops/weights/matrix.js';
import {type KernelInitializer, type LayerArgs, configOf, initializerOf} from './layer_args.js';
import {floatsOf, formatOf, markPacked, matrixOf} from '../ops/weights/packed_variables.js';

/** How a layer stores its matrices, and multiplies by them. */
export interface MatrixArgs<Kernel extends string> {
  /**
   * How matrices are stored: one format for all, or one for each by its name; those left out are float32. Packed matrices start as
   * zeros, to be set from a file or by `setWeights`, and cannot be trained; gradients pass through them. Default `'float32'`.
   */
  weights?: WeightFormat | Readonly<Partial<Record<Kernel, WeightFormat>>>;
  /** What inputs are rounded to before a product with packed codes: see `linear`. Default `'int16'`. */
  activations?: Activations;
}

/** Sizes of a matrix, and how it starts. */
export interface MatrixOptions {
  readonly inputs: number;
  readonly outputs: number;
  readonly kernelInitializer: KernelInitializer;
  /** The weight's name. Default: the matrix' name and `_kernel`. */
  readonly variable?: string;
  /** Whether it is a table `[outputs, inputs]`. Default false: `[inputs, outputs]`. */
  readonly isTable?: boolean;
}

/** A layer with matrices, each of them float32 or packed. */
export abstract class MatrixLayer<Kernel extends string> extends tf.layers.Layer {
  private readonly stored: Required<MatrixArgs<Kernel>>;
  private readonly matrices: Partial<Record<Kernel, tf.LayerVariable>> = {};
  private readonly biases: Partial<Record<Kernel, tf.LayerVariable>> = {};

  /** @param kernels the names of the matrices that a layer of this class can have. */
  constructor(
    {weights = 'float32', activations = 'int16', ...args}: LayerArgs & MatrixArgs<Kernel>,
    kernels: readonly Kernel[],
  ) {
    super(args);
    this.stored = {weights, activations};
    checkFormats(weights, kernels, this.name);
    if (activationsAllowed.includes(activations)) return;
    throw new InvalidArgumentError(
      `${this.name}: activations = ${shown(activations)}; expected ${activationsAllowed.join(' or ')}.`,
    );
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.stored)};
  }

  protected get activations(): Activations {
    return this.stored.activations;
  }

  /** Adds the matrix of a projection, and its bias `[outputs]`. */
  protected addProjection(kernel: Kernel, options: MatrixOptions & {readonly useBias?: boolean}): void {
    this.addMatrix(kernel, options);
    if (options.useBias !== true) return;
    this.biases[kernel] = this.addWeight(
      `${kernel}_bias`,
      [options.outputs],
      'float32',
      tf.initializers.zeros(),
    );
  }

  protected addMatrix(
    kernel: Kernel,
    {inputs, outputs, kernelInitializer, variable = `${kernel}_kernel`, isTable = false}: MatrixOptions,
  ): void {
    const {weights} = this.stored;
    const format = typeof weights === 'string' ? weights : (weights[kernel] ?? 'float32');
    const zeros = initializerOf('zeros');
    const add = (shape: number[], dtype: tf.DataType, initializer: typeof zeros, trainable: boolean) =>
      // the last argument is what weights start as if tfjs is about to set them
      this.addWeight(variable, shape, dtype, initializer, undefined, trainable, undefined, () => zeros);
    if (format === 'float32') {
      const shape = isTable ? [outputs, inputs] : [inputs, outputs];
      this.matrices[kernel] = add(shape, 'float32', initializerOf(kernelInitializer), true);
      return;
    }
    const records = add(recordsShape(format, inputs, outputs), 'int32', zeros, false);
    markPacked(records, {format, inputs, outputs, isTable});
    this.matrices[kernel] = records;
  }

  protected matrix(kernel: Kernel): tf.Tensor | PackedMatrix {
    return matrixOf(this.matrices[kernel]!);
  }

  /** A matrix as float32: the weight itself, or a new tensor if it is packed. */
  protected floatMatrix(kernel: Kernel): tf.Tensor {
    return floatsOf(this.matrices[kernel]!);
  }

  /** Multiplies what a float32 matrix starts as; a packed one starts as zeros. */
  protected scaleMatrix(kernel: Kernel, factor: tf.Tensor): void {
    const variable = this.matrices[kernel]!;
    if (formatOf(variable) === 'float32') tf.tidy(() => void variable.write(tf.mul(variable.read(), factor)));
  }

  protected projection(kernel: Kernel): LinearProduct {
    return {matrix: this.matrix(kernel), bias: this.biases[kernel]?.read()};
  }
}

function checkFormats(weights: unknown, kernels: readonly string[], layer: string): void {
  if (typeof weights !== 'object' || weights === null || Array.isArray(weights)) {
    checkFormat(weights, `${layer}: weights`);
    return;
  }
  for (const [kernel, format] of Object.entries(weights)) {
    if (kernels.includes(kernel)) {
      if (format !== undefined) checkFormat(format, `${layer}: weights.${kernel}`);
    } else {
      throw new InvalidArgumentError(
        `${layer}: weights has a format for "${kernel}"; this layer has ${kernels.join(', ')}.${didYouMean(kernel, kernels)}`,
      );
    }
  }
}

function checkFormat(format: unknown, option: string): void {
  if (weightFormats.some(known => known === format)) return;
  throw new InvalidArgumentError(
    `${option} = ${shown(format)}; expected one of ${weightFormats.join(', ')}.${didYouMean(String(format), weightFormats)}`,
  );
}
