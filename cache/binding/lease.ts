import {CacheStateError} from '../../base/errors.js';

/** Exclusive use of a cache for several steps: nobody else can change it until `end`. */
export interface CacheLease {
  /** Runs a change of the cache, such as a step. Only the synchronous part of `work` is covered. */
  run<Result>(work: () => Result): Result;
  /** Ends the lease: others may change the cache again. */
  end(): void;
}

/** Tracks who uses a cache, so that steps of two texts do not mix in one cache. */
export class Leases {
  private holder: string | undefined;
  private acting = false;

  /** @throws CacheStateError if the cache is in use. */
  take(holder: string): CacheLease {
    this.expectFree(`${holder} as well`);
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

  /** @throws CacheStateError if somebody else uses the cache. */
  expectFree(what: string): void {
    if (this.holder === undefined || this.acting) return;
    throw new CacheStateError(
      `This cache is in use by ${this.holder}, which has not ended; ${what} would change it in between. End that first (leave its ` +
        'loop, call its return(), or abort it), or give this one a cache of its own: fork() makes one.',
    );
  }
}
