import {FormatError, ModelError, shown} from '../../../base/errors.js';
import {isRecord} from '../../../base/records.js';
import type {Fields} from './fields.js';

/** What makes a step of each type. */
export type Makers<T> = Readonly<Record<string, (step: Fields) => T>>;

/**
 * A step by its type.
 * @param kind how errors call such a step.
 * @throws FormatError if a step lacks what it needs, ModelError if its type is not known.
 */
export function makeStep<T>(step: unknown, kind: string, makers: Makers<T>): T {
  const type = isRecord(step) ? step['type'] : undefined;
  const make = typeof type === 'string' && Object.hasOwn(makers, type) ? makers[type] : undefined;
  if (make !== undefined && isRecord(step)) return make(step);
  throw new ModelError(
    `The tokenizer has a ${kind} of the type ${shown(type)}; ${Object.keys(makers).join(', ')} are known.`,
  );
}

/** The steps of a sequence. */
export function listOf(step: Fields, key: string): readonly unknown[] {
  const parts = step[key];
  if (Array.isArray(parts)) return parts as unknown[];
  throw new FormatError(`The tokenizer's sequence has ${key} that are not a list.`);
}
