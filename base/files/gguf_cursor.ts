import {FormatError} from '../errors.js';
import type {ByteSource} from './byte_source.js';

/** Bytes of the first range; later ranges double up to the last, so that a header of any size needs few reads. */
const firstRangeBytes = 64 * 1024;
const lastRangeBytes = 4 * 1024 * 1024;

/**
 * Reads a header from its start by growing ranges. Every length is compared with what the file still holds before
 * anything of that length is allocated.
 */
export class GgufCursor {
  /** Of the next byte in the source. */
  get position(): number {
    return this.windowStart + this.at;
  }

  private window: DataView = new DataView(new ArrayBuffer(0));
  private windowStart = 0;
  private at = 0;
  private rangeBytes = firstRangeBytes;
  private readonly decoder = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});

  constructor(private readonly source: ByteSource) {}

  /** Loads the next `length` bytes, so that they can be read synchronously. Most calls return immediately. */
  ensure(length: number, what: string): Promise<void> | undefined {
    return this.at + length <= this.window.byteLength ? undefined : this.fill(length, what);
  }

  private async fill(length: number, what: string): Promise<void> {
    const left = this.source.size - this.position;
    if (length > left) {
      throw this.damaged(
        `${what} should have ${length} more bytes at byte ${this.position}, but ${left} are left`,
      );
    }
    const start = this.position;
    const bytes = await this.source.read(start, Math.min(left, Math.max(length, this.rangeBytes)));
    this.rangeBytes = Math.min(lastRangeBytes, this.rangeBytes * 2);
    this.window = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.windowStart = start;
    this.at = 0;
  }

  /** @throws FormatError if fewer than `count` times `minBytes` bytes are left in the file. */
  checkCount(count: number | bigint, minBytes: number, what: string, limit: number): number {
    const left = this.source.size - this.position;
    if (count > limit || count < 0 || Number(count) * minBytes > left) {
      throw this.damaged(
        `it claims ${count.toString()} ${what} with ${left} bytes left (at most ${limit} are allowed)`,
      );
    }
    return Number(count);
  }

  async uint32(what: string): Promise<number> {
    await this.ensure(4, what);
    return this.take(4, at => this.window.getUint32(at, true));
  }

  async uint64(what: string): Promise<bigint> {
    await this.ensure(8, what);
    return this.take(8, at => this.window.getBigUint64(at, true));
  }

  async string(what: string): Promise<string> {
    if (this.at + 8 > this.window.byteLength) await this.fill(8, what);
    const length = this.checkCount(this.window.getBigUint64(this.at, true), 1, `bytes in ${what}`, 2 ** 31);
    this.at += 8;
    if (this.at + length > this.window.byteLength) await this.fill(length, what);
    const bytes = new Uint8Array(this.window.buffer, this.window.byteOffset + this.at, length);
    this.at += length;
    try {
      return this.decoder.decode(bytes);
    } catch (error) {
      throw this.damaged(`${what} is not UTF-8`, error);
    }
  }

  /** A copy of the next `length` bytes, in a buffer of its own; the caller checked the length. */
  async bytes(length: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    await this.ensure(length, what);
    return this.take(length, at => {
      const copy = new Uint8Array(length);
      copy.set(new Uint8Array(this.window.buffer, this.window.byteOffset + at, length));
      return copy;
    });
  }

  damaged(why: string, cause?: unknown): FormatError {
    return new FormatError(
      `${this.source.name} is not a whole GGUF file: ${why}. Download or convert it again.`,
      cause === undefined ? undefined : {cause},
    );
  }

  private take<T>(length: number, read: (at: number) => T): T {
    const value = read(this.at);
    this.at += length;
    return value;
  }
}
