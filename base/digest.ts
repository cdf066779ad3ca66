/**
 * A digest of sixteen hexadecimal digits (FNV-1a of Fowler, Noll and Vo, 32 bits twice). Fast and the same
 * everywhere, but not cryptographic: collisions can be constructed.
 */
export class Digest {
  private low = 0x811c9dc5;
  private high = 0x9747b28c;

  /** Adds bytes; text as UTF-8. */
  take(bytes: Uint8Array | string): this {
    for (const byte of typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes) {
      this.low = Math.imul(this.low ^ byte, 0x01000193);
      this.high = Math.imul(this.high ^ byte, 0x01000193) ^ (this.low >>> 13);
    }
    return this;
  }

  /** The digest of everything added so far. */
  get hex(): string {
    return [this.high, this.low].map(half => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }
}
