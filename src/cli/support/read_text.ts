import {readFile} from 'node:fs/promises';
import {InvalidArgumentError} from '../../../base/errors.js';

/**
 * A file that the user named, as bytes.
 * @throws InvalidArgumentError where it cannot be read.
 */
export async function readText(path: string): Promise<Uint8Array> {
  return readFile(path).catch((cause: unknown) => {
    throw new InvalidArgumentError(
      `${path} cannot be read; check that there is such a file and that you may read it.`,
      {
        cause,
      },
    );
  });
}
