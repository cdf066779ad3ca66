import {type Factory, defineFactory} from '../../base/options.js';
import type {Keeper} from '../contract.js';

/** Keeps every token: the cache grows with the text, and only the codec saves memory. */
export const all: Factory<object, Keeper> = defineFactory('all', {}, options => ({name: 'all', options}));
