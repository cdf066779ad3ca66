import {FormatError} from '../../../ops/errors.js';
import type {Fields} from './fields.js';

/** The steps of a sequence. */
export function listOf(step: Fields, key: string): readonly unknown[] {
  const parts = step[key];
  if (Array.isArray(parts)) return parts as unknown[];
  throw new FormatError(`The tokenizer's sequence has ${key} that are not a list.`);
}
