/** `node --import ./test/support/without_vega.mjs`: as if vega and vega-lite were not installed. */
import {register} from 'node:module';

const hooks = `export async function resolve(name, context, next) {
  if (name !== 'vega' && name !== 'vega-lite') return next(name, context);
  throw Object.assign(new Error("Cannot find package '" + name + "'"), {code: 'ERR_MODULE_NOT_FOUND'});
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
