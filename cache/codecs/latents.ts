import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {optionValue} from '../../base/options.js';
import {Registry} from '../registry.js';
import {dense} from './dense.js';
import {float8} from './float8.js';
import {integer} from './integer.js';

/** Latents may be stored by any codec that encodes numbers without a basis of its own. */
const registry = new Registry('codec of latents', {dense, integer, float8});

/** The valibot schema of the option `latents`: the name and options of a codec. */
export const latentsOption = v.pipe(
  v.strictObject({
    name: v.string('expected the name of a codec'),
    options: v.optional(v.record(v.string(), optionValue), {}),
  }),
  v.transform(spec => {
    if (spec.options['center'] === true || spec.options['rotate'] === true) {
      throw new InvalidArgumentError(
        'The codec of latents does not accept center or rotate: a low-rank basis is already a rotation. Set `center` on the low-rank codec instead.',
      );
    }
    return registry.make(spec);
  }),
);
