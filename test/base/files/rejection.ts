import {expect} from 'chai';

/** The error that a promise rejects with; it must be of this class and say something. */
export async function rejection<T extends Error>(
  promise: Promise<unknown>,
  type: new (...args: never[]) => T,
  message?: RegExp,
): Promise<T> {
  let result: unknown;
  try {
    result = await promise;
  } catch (error) {
    expect(error).to.be.instanceOf(type);
    if (message !== undefined) expect((error as T).message).to.match(message);
    return error as T;
  }
  expect.fail(`no error, but a result: ${String(result)}`);
}
