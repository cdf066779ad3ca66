import {FormatError, ModelError} from '../../../base/errors.js';
import {isRecord} from '../../../base/records.js';
import {library} from '../library.js';
import {rewriteOniguruma} from './oniguruma.js';
import type {Cut, Stretch} from './part.js';

/** A pattern of a tokenizer.json: `{String: ...}` matches itself, `{Regex: ...}` is in the syntax of Oniguruma. */
export type Pattern = {readonly text: string} | {readonly source: string};

/** @throws FormatError if it is neither. */
export function readPattern(pattern: unknown): Pattern {
  const {String: text, Regex: source} = isRecord(pattern) ? pattern : {};
  if (typeof text === 'string' && source === undefined) return {text};
  if (typeof source === 'string' && text === undefined) return {source};
  throw new FormatError('The tokenizer has a step with no pattern.');
}

/** What JavaScript runs for a pattern, and the same without what keeps it from going back: for checkPatternCost. */
export interface Translated {
  readonly run: RegExp;
  /** Tries all ways that `run` tries, and more. */
  readonly judged: RegExp;
}

/** @throws ModelError if a pattern cannot be read, or if JavaScript would give it another meaning. */
export function translatePattern(source: string): Translated {
  const {run, judged} = rewriteOniguruma(source, one => translate(one, source));
  return {run: translate(run, source), judged: translate(judged, source)};
}

function translate(source: string, shown: string): RegExp {
  try {
    const {pattern} = new library.SplitPreTokenizer({pattern: {Regex: source}, invert: false});
    if (pattern !== null) return pattern;
  } catch (error) {
    throw new ModelError(`The tokenizer has a pattern that cannot be read: ${shown.slice(0, 200)}.`, {
      cause: error,
    });
  }
  throw new FormatError('The tokenizer has a step with no pattern.');
}

/** Cuts a text at the matches of a pattern. */
export function cutterOf(pattern: Pattern): Cut {
  if ('source' in pattern) return cutterOfRegExp(translatePattern(pattern.source).run);
  return cutterOfRegExp(new RegExp(pattern.text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'gu'));
}

/** @param expression with the flags `g` and `u`. */
export function cutterOfRegExp(expression: RegExp): Cut {
  return text => {
    if (text === '') return [{start: 0, end: 0, matched: false}];
    const out: Stretch[] = [];
    let from = 0;
    let before = 0;
    let lastEnd = -1;
    while (from <= text.length) {
      expression.lastIndex = from;
      const match = expression.exec(text);
      if (match === null) break;
      const start = match.index;
      const end = start + match[0].length;
      if (splitsPair(text, start)) {
        // V8 finds empty matches there (Node 20)
        from = start + 1;
        continue;
      }
      if (start === end && end === lastEnd) {
        // an empty match directly after another match does not count
        from += (text.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
        continue;
      }
      if (before !== start) out.push({start: before, end: start, matched: false});
      out.push({start, end, matched: true});
      from = before = lastEnd = end;
    }
    if (before !== text.length) out.push({start: before, end: text.length, matched: false});
    return out;
  };
}

/** Whether a place is between the halves of a surrogate pair. */
function splitsPair(text: string, at: number): boolean {
  return at > 0 && (text.codePointAt(at - 1) ?? 0) > 0xffff;
}
