import type {Band} from './bands.js';
import {nameOf, offeredNames} from './policy_choices.js';
import {type NumberName, type Settings, backends, defaults, isInRange, ranges} from './settings.js';

/** What a link says: the settings, with the default for all that it does not say or says wrongly. */
export interface ReadHash {
  readonly settings: Settings;
  /** What of it is ignored, and why. */
  readonly notes: readonly string[];
}

const maxPromptLength = 20_000;
const maxDepths = 1000;

/** Settings from the fragment of an address (after `#`). Invalid ones are reported, never thrown. */
export function readHash(hash: string): ReadHash {
  const notes: string[] = [];
  const given = new URLSearchParams(hash.replace(/^#/, ''));
  const ignore = (key: string, why: string) => {
    notes.push(`The link's ${key} is ignored: ${why}.`);
    return undefined;
  };
  const read = <Value>(
    key: keyof typeof readers,
    parse: (text: string) => Value | string,
  ): Value | undefined => {
    const text = given.get(key);
    if (text === null) return undefined;
    const value = parse(text);
    return typeof value === 'string' ? ignore(key, value) : value;
  };
  const number = (name: NumberName) => read(name, text => parseNumber(text, name));
  for (const key of new Set(given.keys())) {
    if (!Object.hasOwn(readers, key))
      ignore(`"${shortened(key)}"`, `it knows ${Object.keys(readers).join(', ')}`);
  }
  const settings: Settings = {
    prompt: read('prompt', parsePrompt)?.text ?? defaults.prompt,
    bands: read('plan', parsePlan) ?? defaults.bands,
    tokens: number('tokens') ?? defaults.tokens,
    temperature: number('temperature') ?? defaults.temperature,
    seed: number('seed') ?? defaults.seed,
    backend: read('backend', parseBackend)?.backend ?? defaults.backend,
    live: read('live', parseLive) ?? defaults.live,
  };
  return {settings, notes};
}

/** The inverse: only what differs from the defaults, so that links are short. */
export function writeHash(settings: Settings): string {
  const written = new URLSearchParams();
  for (const [key, textOf] of Object.entries(readers)) {
    const text = textOf(settings);
    if (text !== textOf(defaults)) written.set(key, text);
  }
  return written.toString();
}

/** The keys of a link, each with what it holds. */
const readers = {
  prompt: ({prompt}: Settings) => prompt,
  plan: ({bands}: Settings) => bands.map(({depths, policy}) => `${depths}*${policy}`).join(';'),
  tokens: ({tokens}: Settings) => String(tokens),
  temperature: ({temperature}: Settings) => String(temperature),
  seed: ({seed}: Settings) => String(seed),
  backend: ({backend}: Settings) => backend as string,
  live: ({live}: Settings) => (live ? 'on' : 'off'),
};

function parsePrompt(text: string): {text: string} | string {
  if (text.trim() === '') return 'it is empty';
  return text.length > maxPromptLength ? `it is longer than ${maxPromptLength} letters` : {text};
}

function parsePlan(text: string): readonly Band[] | string {
  const bands: Band[] = [];
  for (const part of text.split(';')) {
    const [, depths, policy] = /^(\d{1,4})\*([A-Za-z0-9]+(?::[A-Za-z0-9_.,=-]+)?)$/.exec(part) ?? [];
    if (depths === undefined || policy === undefined || Number(depths) === 0) {
      return `"${shortened(part)}" is no band, such as 3*quantized:bits=4`;
    }
    if (!offeredNames.includes(nameOf(policy))) {
      return `there is no policy "${shortened(nameOf(policy))}", but ${offeredNames.join(', ')}`;
    }
    bands.push({depths: Number(depths), policy});
  }
  const depths = bands.reduce((sum, band) => sum + band.depths, 0);
  return depths > maxDepths ? `it is of ${depths} depths, more than any model has` : bands;
}

function parseNumber(text: string, name: NumberName): number | string {
  const {least, most, whole} = ranges[name];
  const isNumber = /^\d+(\.\d+)?$/.test(text);
  if (isNumber && isInRange(name, Number(text))) return Number(text);
  return `"${shortened(text)}" is no ${whole ? 'whole ' : ''}number from ${least} to ${most}`;
}

function parseBackend(text: string): {backend: Settings['backend']} | string {
  const backend = backends.find(name => name === text);
  return backend === undefined ? `"${shortened(text)}" is none of ${backends.join(', ')}` : {backend};
}

function parseLive(text: string): boolean | string {
  return text === 'on' || text === 'off' ? text === 'on' : `"${shortened(text)}" is neither on nor off`;
}

const shortened = (text: string) => (text.length > 40 ? `${text.slice(0, 40)}...` : text);
