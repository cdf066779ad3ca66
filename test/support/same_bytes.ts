import {expect} from 'chai';

/** Expects equal bytes; in Node and in pages, quickly for long arrays. */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array, what = 'the same bytes'): void {
  const differs =
    actual.length === expected.length ? actual.findIndex((byte, i) => byte !== expected[i]) : -2;
  expect(differs, `${what}; the first byte that differs, or -2 for another length`).to.equal(-1);
}
