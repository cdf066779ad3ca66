import type {Float8Layout} from '../encodings/float8.js';

export interface EncodeFloat8Options {
  readonly format: Float8Layout['format'];
}
