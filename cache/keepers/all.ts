import {type Factory, defineFactory} from '../../base/options.js';
import type {Keeper} from '../contract.js';

/** Every token stays: what a cache grows by is only a matter of how it is stored. */
export const all: Factory<object, Keeper> = defineFactory('all', {}, options => ({name: 'all', options}));
