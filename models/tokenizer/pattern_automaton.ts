import {ModelError} from '../../base/errors.js';
import type {PatternNode} from './pattern_nodes.js';

/** The most places of a pattern, with repetitions written out. Real patterns have about sixty. */
const maxPlaces = 256;

/** The automaton of a pattern (Glushkov, 1961). A place is an occurrence of a character set in the pattern, known by its number. */
export interface Automaton {
  /** The character set of each place, as a pattern. */
  readonly places: readonly string[];
  /** The number of ways to each place at which a match may begin. */
  readonly first: ReadonlyMap<number, number>;
  readonly follow: readonly (readonly Step[])[];
  /** The places after which the pattern may end, whatever text follows. */
  readonly ends: ReadonlySet<number>;
  /** The bodies of its lookarounds. */
  readonly looks: ReadonlySet<PatternNode>;
}

/** The number of ways from a place to the next one that consume no other character. */
interface Step {
  readonly to: number;
  readonly ways: number;
}

/** A part of the pattern while the automaton is built. */
interface Part {
  readonly first: Map<number, number>;
  readonly last: Map<number, number>;
  /** The number of ways to match the empty text. */
  readonly empty: number;
  /** Whether one of these ways needs no lookaround. */
  readonly emptyAlways: boolean;
  /** The places of `last` after which no lookaround follows. */
  readonly ends: Set<number>;
}

/**
 * Builds the automaton of a pattern, with its repetitions written out.
 * @param source the whole pattern, for error messages.
 * @param inLook whether the node is the body of a lookaround.
 * @throws ModelError for more than 256 places, a loop around what can be empty, or a repetition in a lookaround that is
 *   itself in a repetition or a lookaround.
 */
export function automatonOf(node: PatternNode, source: string, inLook: boolean): Automaton {
  const places: string[] = [];
  const follow: Map<number, number>[] = [];
  const looks = new Set<PatternNode>();

  const join = (left: Part, right: Part): void => {
    for (const [from, leaving] of left.last) {
      for (const [to, entering] of right.first) add(follow[from]!, to, leaving * entering);
    }
  };
  const nothing: Part = {first: new Map(), last: new Map(), empty: 1, emptyAlways: true, ends: new Set()};

  const sequence = (left: Part, right: Part): Part => {
    join(left, right);
    return {
      first: sum(left.first, right.first, left.empty),
      last: sum(right.last, left.last, right.empty),
      empty: left.empty * right.empty,
      emptyAlways: left.emptyAlways && right.emptyAlways,
      ends: right.emptyAlways ? new Set([...left.ends, ...right.ends]) : right.ends,
    };
  };

  /** @param looped whether the part is in a repetition or in a lookaround. */
  const build = (part: PatternNode, looped: boolean): Part => {
    switch (part.kind) {
      case 'set': {
        const place = places.push(part.source) - 1;
        if (place >= maxPlaces) throw tooCostly(source);
        follow.push(new Map());
        return {
          first: new Map([[place, 1]]),
          last: new Map([[place, 1]]),
          empty: 0,
          emptyAlways: false,
          ends: new Set([place]),
        };
      }
      case 'look':
        if (looped && hasRepetition(part.body)) throw tooCostly(source);
        looks.add(part.body);
        return {...nothing, emptyAlways: false};
      case 'sequence':
        return part.parts.map(one => build(one, looped)).reduce(sequence, nothing);
      case 'choice':
        return part.options
          .map(one => build(one, looped))
          .reduce((left, right) => ({
            first: sum(left.first, right.first),
            last: sum(left.last, right.last),
            empty: left.empty + right.empty,
            emptyAlways: left.emptyAlways || right.emptyAlways,
            ends: new Set([...left.ends, ...right.ends]),
          }));
      case 'repeat':
        return repeat(part.body, part.least, part.most, looped || part.most > 1);
    }
  };

  const optional = (part: Part): Part => ({...part, empty: part.empty + 1, emptyAlways: true});

  const repeat = (body: PatternNode, least: number, most: number, looped: boolean): Part => {
    if (most === 0) return nothing;
    if (Math.max(least, most === Infinity ? 0 : most) > maxPlaces) throw tooCostly(source);
    let whole = nothing;
    for (let i = 0; i < (most === Infinity ? least - 1 : least); i++)
      whole = sequence(whole, build(body, looped));
    if (most === Infinity) {
      const loop = build(body, looped);
      if (loop.empty > 0) throw tooCostly(source);
      join(loop, loop);
      return sequence(whole, least === 0 ? optional(loop) : loop);
    }
    // x{0,3} is (x(x(x)?)?)?
    let rest: Part | undefined;
    for (let i = least; i < most; i++) {
      const next = build(body, looped);
      rest = optional(rest === undefined ? next : sequence(next, rest));
    }
    return rest === undefined ? whole : sequence(whole, rest);
  };

  const {first, ends} = build(node, inLook);
  const steps = follow.map(counts => Array.from(counts, ([to, ways]) => ({to, ways})));
  return {places, first, ends, looks, follow: steps};
}

function hasRepetition(node: PatternNode): boolean {
  switch (node.kind) {
    case 'set':
      return false;
    case 'repeat':
      return node.most > 1 || hasRepetition(node.body);
    case 'look':
      return hasRepetition(node.body);
    case 'sequence':
      return node.parts.some(hasRepetition);
    case 'choice':
      return node.options.some(hasRepetition);
  }
}

function add(counts: Map<number, number>, key: number, count: number): void {
  if (count > 0) counts.set(key, (counts.get(key) ?? 0) + count);
}

function sum(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>, times = 1): Map<number, number> {
  const out = new Map(a);
  for (const [key, count] of b) add(out, key, count * times);
  return out;
}

export function tooCostly(source: string): ModelError {
  const shown = source.length > 200 ? `${source.slice(0, 200)}...` : source;
  return new ModelError(
    `The tokenizer has the pattern ${shown}, which could take for ever on some texts, so eigenkv does not run it. ` +
      'Use another conversion of the model.',
  );
}
