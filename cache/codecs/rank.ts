import {InvalidArgumentError} from '../../base/errors.js';
import type {HeadSizes} from '../contract.js';

/** @throws InvalidArgumentError if a rank exceeds what heads of these sizes have. */
export function checkRank(option: string, rank: number, {dim, dimV}: HeadSizes): void {
  const most = Math.min(dim, dimV);
  if (rank <= most) return;
  throw new InvalidArgumentError(
    `${option} = ${rank}; the heads of this model have ${most} numbers: give a rank from 1 to ${most}.`,
  );
}

/** A rank that was not given: 32, and half of a head's numbers where that is less. */
export function defaultRank(dim: number): number {
  return Math.max(1, Math.min(32, Math.floor(dim / 2)));
}
