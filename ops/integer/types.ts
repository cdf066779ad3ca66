import type {IntegerLayout} from '../encodings/integer.js';

/** How `quantize` groups, packs and scales. */
export interface QuantizeOptions extends IntegerLayout {
  /** Codes around 0 with scale absmax / (2^(bits-1) - 1), instead of the group's own minimum and maximum. */
  readonly symmetric: boolean;
}
