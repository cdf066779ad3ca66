import {InvalidArgumentError, didYouMean, shown} from '../base/errors.js';
import type {Codec, Options} from './codec.js';
import * as codecs from './codecs/index.js';
import * as policies from './policies/index.js';
import type {Policy} from './policy.js';

/** A policy or codec as JSON: its name and its options. */
export interface Spec {
  readonly name: string;
  readonly options?: Options;
}

/**
 * Makes a thing of its options; each factory checks them itself and throws InvalidArgumentError for what it does not
 * take. (Written as a method so that a factory of narrower options is one too.)
 */
export type Factory<Made> = {make(options?: Options): Made}['make'];

const policyFactories = new Map<string, Factory<Policy>>(Object.entries(policies));
const codecFactories = new Map<string, Factory<Codec>>(Object.entries(codecs));

/** The names of all policies. */
export function policyNames(): string[] {
  return [...policyFactories.keys()];
}

/** The names of all codecs. */
export function codecNames(): string[] {
  return [...codecFactories.keys()];
}

/**
 * Makes a policy by name. Options that are missing have the policy's defaults.
 * @throws InvalidArgumentError where there is none of that name, it does not take the options, or something stands beside them.
 */
export function makePolicy(spec: Spec): Policy {
  return make('policy', policyFactories, spec);
}

/** Makes a codec by name; see `makePolicy`. */
export function makeCodec(spec: Spec): Codec {
  return make('codec', codecFactories, spec);
}

/**
 * Adds a policy of your own, so that plans, saved configs and the command line know it by its name.
 * @throws InvalidArgumentError where the name is taken.
 */
export function registerPolicy(name: string, factory: Factory<Policy>): void {
  if (policyFactories.has(name)) {
    throw new InvalidArgumentError(`There is a policy "${name}" already; give yours another name.`);
  }
  policyFactories.set(name, factory);
}

/**
 * Reads a policy as it is written on a command line: `quantized`, `quantized:bits=4,residual=64`. Values are numbers,
 * `true`, `false`, or text.
 */
export function parsePolicy(text: string): Policy {
  const given: unknown = text;
  if (typeof given !== 'string') {
    throw new InvalidArgumentError(
      `parsePolicy(${shown(given)}); expected a text, such as "quantized:bits=8".`,
    );
  }
  const [name = '', ...rest] = text.split(':');
  const listed = rest.join(':');
  const options = new Map<string, string | number | boolean>();
  for (const part of listed === '' ? [] : listed.split(',')) {
    const [key, value] = part.split('=', 2);
    if (key === undefined || value === undefined || key === '' || value === '') {
      throw new InvalidArgumentError(
        `"${part}" in "${text}" is no option; write name:option=value,option=value, as in quantized:bits=8.`,
      );
    }
    options.set(key, optionValue(value));
  }
  return makePolicy({name, options: Object.fromEntries(options)}); // own properties, whatever they are called
}

function optionValue(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  return Number.isNaN(Number(text)) ? text : Number(text);
}

function make<Made>(kind: string, factories: Map<string, Factory<Made>>, spec: Spec): Made {
  const given: unknown = spec;
  if (!isSpec(given)) {
    throw new InvalidArgumentError(
      `${shown(given)} is no ${kind}; expected its name and options: {name: "...", options: {...}}.`,
    );
  }
  const {name, options, ...beside} = given;
  const [dropped] = Object.keys(beside);
  if (options === undefined && dropped !== undefined) {
    throw new InvalidArgumentError(
      `${shown(given)} has "${dropped}" beside its name; options stand in "options": {name: "${name}", options: {...}}.`,
    );
  }
  const factory = factories.get(name);
  if (factory === undefined) {
    const names = [...factories.keys()];
    throw new InvalidArgumentError(
      `There is no ${kind} "${name}"; there are ${names.join(', ')}.${didYouMean(name, names)}`,
    );
  }
  return factory(options ?? {});
}

/** Callers of plain JavaScript give anything. */
function isSpec(given: unknown): given is Spec {
  if (typeof given !== 'object' || given === null || !('name' in given)) return false;
  const options = 'options' in given ? given.options : undefined;
  return (
    typeof given.name === 'string' &&
    (options === undefined || (typeof options === 'object' && options !== null))
  );
}
