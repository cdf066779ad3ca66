import {InvalidArgumentError} from '../base/errors.js';
import type {OptionValue, Spec} from '../base/options.js';

/**
 * Parses `name:option=value,option=value` into a name and options. Values are numbers, `true`, `false`, `null`, or text.
 * @throws InvalidArgumentError if an option is not `name=value`, or is there twice.
 */
export function specOfText(text: string): Required<Spec> {
  const [name = '', ...rest] = text.split(':');
  const listed = rest.join(':');
  const options = new Map<string, OptionValue>();
  for (const part of listed === '' ? [] : listed.split(',')) {
    const [key = '', value = '', ...more] = part.split('=');
    if (key === '' || value === '' || more.length > 0) {
      throw new InvalidArgumentError(
        `"${part}" in "${text}" is not an option; write name:option=value,option=value, as in quantized:bits=8.`,
      );
    }
    if (options.has(key)) {
      throw new InvalidArgumentError(`"${text}" has the option "${key}" twice; leave one of them out.`);
    }
    options.set(key, valueOfText(value));
  }
  return {name, options: Object.fromEntries(options)}; // own properties, whatever they are called
}

/** The value that a text stands for. */
export function valueOfText(text: string): OptionValue {
  if (text === 'true' || text === 'false') return text === 'true';
  if (text === 'null') return null;
  return Number.isNaN(Number(text)) ? text : Number(text);
}
