import type {Spec} from '../../base/options.js';
import {policyNames} from '../../cache/policies/as_policy.js';
import '../support/lloyd_max_codec.js';
// What the contract tests run over. Every registered name must have at least one entry here: a test asks.

export interface CodecVariant extends Spec {
  /** Saves nothing, by intention. */
  readonly incompressible?: boolean;
}

export const codecVariants: readonly CodecVariant[] = [
  {name: 'dense', options: {}, incompressible: true},
  {name: 'integer'},
  {name: 'integer', options: {bits: 8, groupAxis: 'channel', groupSize: 8}},
  {name: 'integer', options: {bits: 4, groupAxis: 'token', groupSize: 16}},
  {name: 'integer', options: {bits: 4, groupAxis: 'channel', groupSize: 4}},
  {name: 'integer', options: {bits: 2, groupAxis: 'token', groupSize: 8}},
  {name: 'integer', options: {bits: 3, groupAxis: 'token', groupSize: 16}},
  {name: 'integer', options: {bits: 5, groupAxis: 'channel', groupSize: 16}},
  {name: 'integer', options: {bits: 6, groupAxis: 'token', groupSize: 5}},
  {name: 'integer', options: {bits: 8, symmetric: true}},
  {name: 'integer', options: {bits: 4, rotate: true}},
  {name: 'integer', options: {bits: 4, center: true, groupAxis: 'channel', groupSize: 8}},
  {name: 'integer', options: {bits: 8, center: true, rotate: true, symmetric: true}},
  {name: 'float8'},
  {name: 'float8', options: {format: 'e5m2'}},
  {name: 'lowRank', options: {rank: 5}},
  {name: 'lowRank', options: {rank: 64, center: true}, incompressible: true},
  {name: 'lowRank', options: {energy: 0.5, center: true}},
  {name: 'lowRank', options: {rank: 12, latents: {name: 'integer', options: {bits: 4, groupSize: 4}}}},
  {name: 'testLloydMax', options: {widths: [8, 3, 1]}},
  {name: 'testLloydMax', options: {widths: [6, 0, 5, 2]}},
  {name: 'testLloydMax', options: {widths: [0]}},
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
  {name: 'full', options: {}, outputError: 1e-5, keyError: 0},
  {name: 'full', options: {skipValues: 1e-6}, outputError: 1e-5, keyError: 0},
  {name: 'quantized', options: {groupSize: 8, residual: 4}, outputError: 0.02, keyError: 0.05},
  {name: 'quantized', options: {bits: 4, groupSize: 4, residual: 0}, outputError: 0.25, keyError: 0.5},
  {name: 'quantized', options: {bits: 2, groupSize: 3, residual: 5}, outputError: 0.8, keyError: 1.5},
  {name: 'quantized', options: {keyBits: 6, valueBits: 3, groupSize: 16}, outputError: 0.5, keyError: 0.1},
  {
    name: 'quantized',
    options: {keyBits: 8, valueBits: 4, keyAxis: 'token', rotate: true, center: true, residual: 3},
    outputError: 0.3,
    keyError: 0.15,
  },
  {name: 'quantized', options: {groupSize: 8, skipValues: 0.001}, outputError: 0.02, keyError: 0.05},
  {name: 'float8', options: {residual: 4}, outputError: 0.1, keyError: 0.25},
  {name: 'float8', options: {format: 'e5m2', residual: 0}, outputError: 0.25, keyError: 0.5},
  {name: 'onlineSvd', options: {rank: 16, updateFreq: 4}, outputError: 1e-4, keyError: 1e-4},
  {name: 'onlineSvd', options: {rank: 6, updateFreq: 5}, outputError: 1},
  {name: 'transform', options: {bits: 6, sinks: 1}, outputError: 0.4},
  {name: 'mixed', options: {budget: '8kB', bits: '6/3', near: 0}, outputError: 1.5},
  {name: 'sliding', options: {window: 12, sinks: 3}, outputError: 1.5, keyError: 0},
  {name: 'sliding', options: {window: 100}, outputError: 1e-5, keyError: 0},
  {name: 'h2o', options: {heavyBudget: 8, recentBudget: 6, sinks: 2}, outputError: 1.5, keyError: 0},
  {
    name: 'h2o',
    options: {heavyBudget: 20, recentBudget: 1, sinks: 0, normalize: false},
    outputError: 1.5,
    keyError: 0,
  },
  {name: 'h2o', options: {heavyBudget: 30, recentBudget: 20}, outputError: 1e-5, keyError: 0},
  {
    name: 'h2o',
    options: {heavyBudget: 8, recentBudget: 6, sinks: 2, refit: true},
    outputError: 1.5,
    keyError: 0,
  },
  {
    name: 'h2o',
    options: {
      heavyBudget: 9,
      recentBudget: 8,
      refit: true,
      store: {keys: 'float8', values: {bits: 8, groupSize: 4}},
    },
    outputError: 1.5,
    keyError: 0.25,
  },
  {name: 'sliding', options: {window: 24, recent: 16, sinks: 3, refit: true}, outputError: 1.5, keyError: 0},
  {
    name: 'sliding',
    options: {window: 24, recent: 16, sinks: 3, refit: 'leastSquares'},
    outputError: 1.5,
    keyError: 0,
  },
  {name: 'lru', options: {maxCacheSize: 14}, outputError: 1.5, keyError: 0},
  {name: 'lfu', options: {maxCacheSize: 14, threshold: 0.1}, outputError: 1.5, keyError: 0},
  {name: 'layered', options: {shortTermSize: 8, longTermRank: 16}, outputError: 1e-4, keyError: 1e-4},
  {
    name: 'layered',
    options: {shortTermSize: 8, longTermBits: 8},
    outputError: 0.05,
    keyError: 0.05,
  },
  {name: 'layered', options: {shortTermSize: 4, longTermRank: 12, longTermBits: 4, sinks: 0}, outputError: 1},
  {
    name: 'layered',
    options: {shortTermSize: 4, longTermRank: 16, longTermBits: 8, rankOf: 'keys'},
    outputError: 0.05,
    keyError: 0.1,
  },
  {name: 'adaptive', options: {tolerance: 0.3, residual: 4, groupSize: 4}, outputError: 0.5, keyError: 1.5},
  {
    name: 'adaptive',
    options: {tolerance: 1e-6, residual: 1, groupSize: 8},
    outputError: 1e-4,
    keyError: 1e-5,
  },
];

/** What a value is after it was saved and read back. */
export function throughJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** `quantized bits=8,groupSize=8`, for the names of tests. */
export function variantName({name, options = {}}: Spec): string {
  const listed = Object.entries(options).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return [name, ...listed].join(' ');
}

/** The names that the package ships. Those that tests register are called `test...`: test files share a process, in any order. */
export function shipped(names: readonly string[]): string[] {
  return names.filter(name => !name.startsWith('test'));
}

/** The policies that the package ships. */
export function shippedPolicies(): string[] {
  return shipped(policyNames());
}
