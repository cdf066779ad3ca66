import {InvalidArgumentError} from '../../base/errors.js';

/** The error of so many indices that name none of the rows. */
export function indicesOutside(count: number, rows: number): InvalidArgumentError {
  return new InvalidArgumentError(`${count} indices name no token; expected integers from 0 to ${rows - 1}.`);
}
