import {CacheStateError} from '../../base/errors.js';

/** The use of a cache by one who takes several steps: nobody else changes it until `end`. */
export interface CacheLease {
  /** Runs what changes the cache: one step, or the beginning of what is awaited. */
  run<Result>(work: () => Result): Result;
  /** The cache is free again. */
  end(): void;
}

/** Who uses a cache now. Steps of two texts in one cache would be plausible text of neither. */
export class Leases {
  private holder: string | undefined;
  private acting = false;

  /** @throws CacheStateError where it is in use. */
  take(holder: string): CacheLease {
    this.expectFree(`${holder} beside it`);
    this.holder = holder;
    return {
      run: work => {
        this.acting = true;
        try {
          return work();
        } finally {
          this.acting = false;
        }
      },
      end: () => (this.holder = undefined),
    };
  }

  /** @throws CacheStateError where somebody else uses the cache. */
  expectFree(what: string): void {
    if (this.holder === undefined || this.acting) return;
    throw new CacheStateError(
      `This cache is in use by ${this.holder}, which has not ended; ${what} would change it in between. End that first (leave its ` +
        'loop, call its return(), or abort it), or give this one a cache of its own: fork() makes one.',
    );
  }
}
