/**
 * The errors that eigenkv throws. Each message says what was given, what is allowed and what to do;
 * the class gives the kind of error, so that callers need not parse the text.
 */
export class EigenkvError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name; // of classes that do not write it out, as those below do: bundlers shorten it
  }
}

/** An option, argument or tensor shape that a function does not take. */
export class InvalidArgumentError extends EigenkvError {
  override name = 'InvalidArgumentError';
}

/** A file that is not what its name says: truncated, hostile, of an unknown version or dtype. */
export class FormatError extends EigenkvError {
  override name = 'FormatError';
}

/** A model whose parts do not fit each other: config keys, weights, tokenizer. */
export class ModelError extends EigenkvError {
  override name = 'ModelError';
}

/** More tokens than the model's context holds. */
export class ContextLengthError extends EigenkvError {
  override name = 'ContextLengthError';
}

/**
 * A cache that cannot do what was asked with what it holds: tokens are evicted or merged into a low-rank encoding, or a forward
 * pass stopped before all layers ran.
 */
export class CacheStateError extends EigenkvError {
  override name = 'CacheStateError';
}

/** A backend or an optional package that is missing or cannot start. */
export class BackendError extends EigenkvError {
  override name = 'BackendError';
}

/** The network or the disk failed. No partial result remains. */
export class TransferError extends EigenkvError {
  override name = 'TransferError';
}

/** A value as messages show it: as JSON, its first 200 characters. */
export function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  const text = jsonOf(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

/** Values that JSON cannot have: NaN, undefined, symbols, big integers, circular objects. */
function jsonOf(value: unknown): string | undefined {
  if (typeof value === 'number') return undefined;
  try {
    return JSON.stringify(value);
  } catch {
    return typeof value === 'object' ? 'an object that JSON cannot hold' : undefined;
  }
}

/** Limits of the search for a similar name, since both lists can come from untrusted files. */
const longestName = 128;
const mostNames = 4096;

/** The name in `allowed` closest to `given`, as ` Did you mean "h2o"?`, or an empty text if none is close. */
export function didYouMean(given: string, allowed: readonly string[]): string {
  if (given.length > longestName) return '';
  let best = '';
  let bestDistance = Math.max(2, Math.floor(given.length / 3)) + 1;
  for (const name of allowed.slice(0, mostNames)) {
    if (Math.abs(name.length - given.length) >= bestDistance) continue;
    const distance = editDistance(given.toLowerCase(), name.toLowerCase());
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best === '' ? '' : ` Did you mean "${best}"?`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({length: b.length + 1}, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, substitute));
    }
    row = next;
  }
  return row[b.length]!;
}
