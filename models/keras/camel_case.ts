import {type Json, isArray, isObject} from './json.js';

/**
 * A config with the keys and words of tfjs, in camel case, as `tf.loadLayersModel` makes it: names stay, and so do those in
 * references to tensors.
 */
export function inCamelCase(value: Json, key = ''): Json {
  if (typeof value === 'string') return camelCase(value);
  if (isArray(value)) {
    const isReference = /^(inboundNodes|inputLayers|outputLayers)$/.test(key) && typeof value[0] === 'string';
    return value.map((item, i) => (isReference && i === 0 ? item : inCamelCase(item, key)));
  }
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([name, item]): [string, Json] => {
    const inner = camelCase(name);
    return [inner, name === 'name' && typeof item === 'string' ? item : inCamelCase(item, inner)];
  });
  return Object.fromEntries(entries);
}

const camelCase = (text: string) => text.replace(/_+(\w|$)/g, (_, first: string) => first.toUpperCase());
