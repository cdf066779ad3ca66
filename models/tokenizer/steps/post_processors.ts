import {FormatError, ModelError, shown} from '../../../base/errors.js';
import {isRecord} from '../../../base/records.js';
import type {Fields} from './fields.js';
import {type Makers, listOf, makeStep} from './make_step.js';

/** The tokens around each text. */
export interface Frame {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const nothing: Frame = {before: [], after: []};

const postProcessors: Makers<Frame> = {
  BertProcessing: aroundText,
  ByteLevel: () => nothing, // changes where tokens are said to lie, not which they are
  RobertaProcessing: aroundText,
  Sequence(step) {
    const frames = listOf(step, 'processors')
      .map(readPostProcessor)
      .filter(({before, after}) => before.length + after.length > 0);
    if (frames.length <= 1) return frames[0] ?? nothing;
    throw new ModelError(
      'The tokenizer has two post-processors that put tokens around a text; eigenkv takes one.',
    );
  },
  TemplateProcessing: template,
};

/** @throws FormatError if a step lacks what it needs, ModelError if it is not known. */
export function readPostProcessor(step: unknown): Frame {
  if (step === null) return nothing;
  return makeStep(step, 'post-processor', postProcessors);
}

function aroundText(step: Fields): Frame {
  const id = (key: string): number => {
    const pair = step[key];
    if (Array.isArray(pair) && typeof pair[1] === 'number') return pair[1];
    throw new FormatError(
      `The tokenizer has a post-processor with ${key} = ${shown(pair)}; expected a token and its id.`,
    );
  };
  return {before: [id('cls')], after: [id('sep')]};
}

function template(step: Fields): Frame {
  const special = step['special_tokens'];
  const before: number[] = [];
  const after: number[] = [];
  let into: number[] | undefined = before;
  for (const piece of listOf(step, 'single')) {
    const {SpecialToken: token, Sequence: sequence} = isRecord(piece) ? piece : {};
    if (isRecord(sequence) && sequence['id'] === 'A' && into === before) into = after;
    else if (isRecord(token)) into.push(...idsOf(token['id'], special));
    else
      throw new FormatError(
        `The tokenizer's template has the part ${shown(piece)}; expected one text A and special tokens.`,
      );
  }
  if (into === after) return {before, after};
  throw new FormatError("The tokenizer's template leaves the text out.");
}

function idsOf(name: unknown, special: unknown): readonly number[] {
  const entry =
    isRecord(special) && typeof name === 'string' && Object.hasOwn(special, name) ? special[name] : undefined;
  const ids = isRecord(entry) ? entry['ids'] : undefined;
  if (Array.isArray(ids) && ids.every(id => typeof id === 'number')) return ids;
  throw new ModelError(
    `The tokenizer's template names ${shown(name)}, which is none of its special tokens with ids.`,
  );
}
