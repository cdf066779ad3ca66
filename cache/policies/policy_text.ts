import type {Options, OptionValue, Spec} from '../../base/options.js';
import {asStore, storeNames, codecOptionNames} from '../codecs/as_store.js';
import {keeperRegistry} from '../keepers/as_keeper.js';
import {isSpec} from '../registry.js';
import {specOfText, valueOfText} from '../spec_text.js';

// Policies as text: h2o:heavyBudget=512,store=integer,bits=4. An option that the policy does not have belongs to the codec that `store`
// names (default `integer`), or to the keeper that `keep` names.

type OptionNames = readonly string[] | undefined;

/**
 * Parses the text of a policy into its name and options, as `specOfText` does, those of its codec and its keeper apart.
 *
 * @param namesOf returns the names of a policy's own options; undefined if unknown: then all are its own that neither the codec nor the
 *   keeper in the text has.
 * @throws InvalidArgumentError if an option is not `name=value`, or is there twice.
 */
export function policySpec(text: string, namesOf: (policy: string) => OptionNames): Spec {
  const {name, options: listed} = specOfText(text);
  const given = new Map(Object.entries(listed));
  const own = namesOf(name);
  const parts = {
    store: partOf(given, own, 'store', 'integer', codecOptionNames),
    keep: partOf(given, own, 'keep', undefined, keeper => keeperRegistry.optionNames(keeper)),
  };
  const options = new Map<string, OptionValue>();
  for (const [key, value] of given) {
    const part = Object.values(parts).find(of => own?.includes(key) !== true && of?.takes.includes(key));
    if (part === undefined) options.set(key, value);
    else part.options.set(key, value);
  }
  for (const [key, part] of Object.entries(parts)) {
    if (part === undefined || (part.options.size === 0 && !given.has(key))) continue;
    options.set(key, {name: part.name, options: Object.fromEntries(part.options)});
  }
  return {name, options: Object.fromEntries(options)}; // own properties, whatever they are called
}

interface Part {
  readonly name: string;
  readonly takes: readonly string[];
  readonly options: Map<string, OptionValue>;
}

/** The codec or keeper within the text; undefined if the policy has no such option, or if the text names none. */
function partOf(
  given: ReadonlyMap<string, OptionValue>,
  own: OptionNames,
  key: string,
  unnamed: string | undefined,
  namesOf: (name: string) => OptionNames,
): Part | undefined {
  if (!(own?.includes(key) ?? given.has(key))) return undefined;
  const name = given.get(key) ?? unnamed;
  return typeof name === 'string' ? {name, takes: namesOf(name) ?? [], options: new Map()} : undefined;
}

/**
 * Returns a policy's text, which `asPolicy` reads. Options equal to their defaults are left out. A policy that text cannot say, such as one
 * with different codecs for keys and values, is its JSON.
 */
export function policyText({name, options = {}}: Spec, defaults: Options): string {
  const changed = Object.entries(options).filter(
    ([key, value]) => JSON.stringify(value) !== JSON.stringify(defaults[key]),
  );
  const listed = changed.map(([key, value]) => textsOf(key, value));
  if (/^[[{"]|[:,=]/.test(name) || listed.includes(undefined))
    return JSON.stringify({name, options: Object.fromEntries(changed)});
  return listed.length === 0 ? name : `${name}:${listed.flat().join(',')}`;
}

/** A codec or keeper is its name, followed by the options that differ from its defaults. Undefined for what text cannot say. */
function textsOf(key: string, value: OptionValue): string[] | undefined {
  if (isPlain(key, value)) return [`${key}=${plainText(value)}`];
  const defaults = isSpec(value) ? defaultsOf(key, value.name) : undefined;
  if (!isSpec(value) || defaults === undefined) return undefined;
  const changed = Object.entries(value.options ?? {}).filter(
    ([option, of]) => JSON.stringify(of) !== JSON.stringify(defaults[option]),
  );
  if (!changed.every(([option, of]) => isPlain(option, of))) return undefined;
  return [`${key}=${value.name}`, ...changed.map(([option, of]) => `${option}=${plainText(of)}`)];
}

/** Whether text says an option: not if it holds "," or "=", nor that the digits of a name, such as a profile's id, are no number. */
function isPlain(key: string, value: OptionValue): boolean {
  const text = plainText(value);
  return !/[,=]/.test(key + text) && text === text.trim() && valueOfText(text) === value;
}

const plainText = (value: OptionValue) => (typeof value === 'string' ? value : JSON.stringify(value));

function defaultsOf(key: string, name: string): Options | undefined {
  if (key === 'store' && storeNames().includes(name)) return asStore(name).options;
  return key === 'keep' && keeperRegistry.has(name) ? keeperRegistry.make({name}).options : undefined;
}
