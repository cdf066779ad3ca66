import type {Spec} from '../../cache/registry.js';

// What the contract tests run over. Every registered name must have at least one entry here: a test asks.

export const codecVariants: readonly Spec[] = [
  {name: 'dense'},
  {name: 'integer'},
  {name: 'integer', options: {bits: 8, groupAxis: 'channel', groupSize: 8}},
  {name: 'integer', options: {bits: 4, groupAxis: 'token', groupSize: 16}},
  {name: 'integer', options: {bits: 4, groupAxis: 'channel', groupSize: 4}},
  {name: 'integer', options: {bits: 2, groupAxis: 'token', groupSize: 8}},
  {name: 'integer', options: {bits: 8, symmetric: true}},
];

export interface PolicyVariant extends Spec {
  /**
   * How far the output of a text taken in token by token may lie from plain attention, relative to the largest output
   * (random keys and values of unit variance, where nothing is redundant: far worse than real features).
   */
  readonly outputError: number;
  /** How far a stored key may lie from the key that came in; absent where a bound has no meaning (low rank). */
  readonly keyError?: number;
}

export const policyVariants: readonly PolicyVariant[] = [
  {name: 'full', outputError: 1e-5, keyError: 0},
  {name: 'quantized', options: {groupSize: 8, residual: 4}, outputError: 0.02, keyError: 0.05},
  {name: 'quantized', options: {bits: 4, groupSize: 4, residual: 0}, outputError: 0.25, keyError: 0.5},
  {name: 'quantized', options: {bits: 2, groupSize: 3, residual: 5}, outputError: 0.8, keyError: 1.5},
];

/** `quantized bits=8,groupSize=8`, for the names of tests. */
export function variantName({name, options = {}}: Spec): string {
  const listed = Object.entries(options).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return [name, ...listed].join(' ');
}
