import {InvalidArgumentError} from '../../base/errors.js';
import type {HeadSizes} from '../contract.js';

/** @throws InvalidArgumentError if a rank exceeds the dim of keys or values. */
export function checkRank(option: string, rank: number, {dim, dimV}: HeadSizes): void {
  const most = Math.min(dim, dimV);
  if (rank <= most) return;
  throw new InvalidArgumentError(
    `${option} = ${rank}; the heads of this model have dim ${most}: give a rank from 1 to ${most}.`,
  );
}

/** The default rank for heads of this dim: 32, or half the dim if that is less; at least 1. */
export function defaultRank(dim: number): number {
  return Math.max(1, Math.min(32, Math.floor(dim / 2)));
}
