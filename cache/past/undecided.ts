import {arrivedNumbers, hostNumbers, readsAtOnce} from '../../ops/host_numbers.js';
import type {Context, NumbersOf, PairCodec} from '../contract.js';
import type {DenseBlock, Past, Undecided} from './past.js';

/** Reads each part at once, when it is asked for. */
export const numbersAtOnce: NumbersOf = parts => part => hostNumbers(parts[part]!());

/**
 * Lets a codec store a block. If the codec has to wait for numbers that it decides by, the past stays as it is, and keeps these numbers. Pure;
 * inside the caller's tidy.
 *
 * @param past with the block still in it.
 * @param left the past without the block.
 * @returns the past with the block stored; `past` itself, perhaps with other `undecided`, if it could not be stored.
 */
export function storeBlock(
  store: PairCodec,
  past: Past,
  left: Past,
  block: DenseBlock,
  context: Context,
): Past {
  const of: Omit<Undecided, 'numbers'> = {
    from: typeof block.positions === 'number' ? block.positions : null,
    tokens: block.tokens,
  };
  const {undecided} = past;
  const isSame = undecided?.from === of.from && undecided.tokens === of.tokens;
  let asked = isSame ? undecided.numbers : undefined;
  const numbersLate: NumbersOf = parts => {
    asked ??= parts.map(part => part());
    const numbers = asked.map(arrivedNumbers);
    return numbers.every(of => of !== undefined) ? part => numbers[part]! : undefined;
  };
  const late = !readsAtOnce() || asked !== undefined; // restored from webgpu, a past knows what was asked there
  const numbersOf = late ? numbersLate : numbersAtOnce;
  const next = store.add(settled(left), block, {...context, numbersOf});
  if (next !== undefined) return next;
  return asked === undefined ? past : {...past, undecided: {...of, numbers: asked}};
}

/** A past that waits for nothing, since other tokens are next. */
export function settled(past: Past): Past {
  return past.undecided === undefined ? past : {...past, undecided: undefined};
}
