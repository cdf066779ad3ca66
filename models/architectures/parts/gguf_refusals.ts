import {ModelError} from '../../../base/errors.js';
import type {ModelConfig} from './model_config.js';

/** @throws ModelError if the model has a window of attention, in a GGUF type that has no place for one. */
export function noWindowInGguf({window, architecture}: ModelConfig): void {
  if (window === undefined) return;
  throw refused(`the window of ${window} tokens of this model`, architecture);
}

/** @throws ModelError unless the activation is the one that a GGUF type stands for. */
export function onlyActivationOfGguf(
  {activation, architecture}: ModelConfig,
  expected: ModelConfig['activation'],
): void {
  if (activation === expected) return;
  throw refused(`the activation "${activation}" of this model: it stands for "${expected}"`, architecture);
}

export function refused(what: string, architecture: string): ModelError {
  return new ModelError(
    `A GGUF file of the architecture "${architecture}" has no place for ${what}. Save the model into a folder instead (a path without .gguf).`,
  );
}
