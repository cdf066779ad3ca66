import {InvalidArgumentError} from '../../base/errors.js';

/** The error if `count` indices name none of the `rows` rows, or none of the blocks of `blockRows` whole rows. */
export function indicesOutside(count: number, rows: number, blockRows: number): InvalidArgumentError {
  const what = blockRows === 1 ? 'token' : `block of ${blockRows} rows`;
  const last = Math.floor(rows / blockRows) - 1;
  return new InvalidArgumentError(`${count} indices name no ${what}; expected integers from 0 to ${last}.`);
}
