import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {optionValue} from '../../base/options.js';
import {Registry} from '../registry.js';
import {dense} from './dense.js';
import {float8} from './float8.js';
import {integer} from './integer.js';

/** How latents may be stored: any codec of single numbers. */
const registry = new Registry('codec of latents', {dense, integer, float8});

/** The codec of latents as an option: its name and options. */
export const latentsOption = v.pipe(
  v.strictObject({
    name: v.string('expected the name of a codec'),
    options: v.optional(v.record(v.string(), optionValue), {}),
  }),
  v.transform(spec => {
    if (spec.options['center'] === true || spec.options['rotate'] === true) {
      throw new InvalidArgumentError(
        'Latents take no center or rotate: their basis is a rotation already; give the low-rank codec `center`.',
      );
    }
    return registry.make(spec);
  }),
);
