import {ModelError} from '../../base/errors.js';
import {type PatternNode, parsePattern} from './pattern_nodes.js';

/** Places of a pattern that consume a character, repetitions written out; real patterns have some sixty. */
const maxPlaces = 256;
/** Characters of the words that paths are counted over. */
const wordLength = 128;
/** Paths for each character of a word, at most. Real patterns come to one for each of their alternatives. */
const maxPathsPerCharacter = 32;

/**
 * Sees that a pattern cannot keep the matcher of JavaScript busy for ever, as `(a+)+b` does with a row of a's: it tries all
 * ways to read a text before it gives up. Their number is found without trying them, by the automaton of Glushkov (1961),
 * whose paths are these ways:
 *
 * - two ways through a loop that read the same word (exponential ambiguity; Weber and Seidl, 1991) are refused;
 * - so are more than 32 n unfinished paths over any word `cccc...` or `cdcd...` of n = 128 characters, which is what
 *   `a*a*b`, `a?a?a?...` and the like come to. A path is finished where the whole pattern could end: then the matcher does.
 *
 * - and repetitions in what is looked at (`(?=(\d{3})+\b)`), where a repetition stands around it.
 *
 * What is left costs time in proportion to the length of a text at each of its characters: quadratic at worst.
 *
 * @param source of a `RegExp` with the flag `u`.
 * @throws ModelError where a pattern is not of this kind.
 */
export function checkPatternCost(source: string): void {
  check(parsePattern(source), source, false);
}

function check(node: PatternNode, source: string, inLook: boolean): void {
  const automaton = automatonOf(node, source, inLook);
  const matches = matchTable(automaton.places);
  if (isExponential(automaton, matches)) throw tooCostly(source);
  const characters = distinct(matches);
  for (const one of characters) {
    for (const other of characters) {
      if (unfinishedPaths(automaton, one, other) > maxPathsPerCharacter * wordLength) throw tooCostly(source);
    }
  }
}

function tooCostly(source: string): ModelError {
  const shown = source.length > 200 ? `${source.slice(0, 200)}...` : source;
  return new ModelError(
    `The tokenizer has the pattern ${shown}, which could take for ever on some texts; eigenkv does not run it. ` +
      'Use another conversion of the model.',
  );
}

/** Places by number; how often one follows another is the number of ways to come from it without consuming. */
interface Automaton {
  /** The set of characters of each place, as a pattern. */
  readonly places: readonly string[];
  readonly first: ReadonlyMap<number, number>;
  readonly follow: readonly (readonly Step[])[];
  /** Behind these the pattern may end, whatever stands around. */
  readonly ends: ReadonlySet<number>;
}

interface Step {
  readonly to: number;
  readonly ways: number;
}

/** What of a part of the pattern others join to. */
interface Part {
  readonly first: Map<number, number>;
  readonly last: Map<number, number>;
  /** Ways to match nothing. */
  readonly empty: number;
  /** One of them looks around at nothing. */
  readonly emptyAlways: boolean;
  /** Of `last`: those behind which nothing is looked at. */
  readonly ends: Set<number>;
}

function automatonOf(node: PatternNode, source: string, inLook: boolean): Automaton {
  const places: string[] = [];
  const follow: Map<number, number>[] = [];

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

  /** `looped`: inside a repetition, or inside of what is looked at. */
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
        check(part.body, source, true);
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
    // each further one only behind the one before it: x{0,3} is (x(x(x)?)?)?
    let rest: Part | undefined;
    for (let i = least; i < most; i++) {
      const next = build(body, looped);
      rest = optional(rest === undefined ? next : sequence(next, rest));
    }
    return rest === undefined ? whole : sequence(whole, rest);
  };

  const {first, ends} = build(node, inLook);
  return {places, first, ends, follow: follow.map(steps => Array.from(steps, ([to, ways]) => ({to, ways})))};
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

/** A character or two of every kind that patterns tell apart: general categories, and scripts beside Latin. */
const samples =
  'azAZ09_\'"sStTmMdDrRlLvVeEéßÇǅʰªα Ωяא ع अ ก 中 あ ア 가 ٣ Ⅷ ² \u0301\u0903\u20dd-–(«)»!%.,;:/?#&*+<=>@[]{}|~$€^`¨©' +
  ' \t\n\v\f\r\u0000\u007f\u0085\u00a0\u00ad\u200b\u200d\u2028\u2029\u3000\ufeff\ufffd\ue000\u0378😀𝐀';

/** Which characters each place matches: a row of flags for every character, by place. */
type MatchTable = readonly Uint8Array[];

function matchTable(places: readonly string[]): MatchTable {
  const sources = [...new Set(places)];
  const characters = new Set(samples);
  const sets = sources.map(source => ({source, test: new RegExp(`^(?:${source})$`, 'u')}));
  for (const {source, test} of sets) {
    for (const character of namedIn(source)) characters.add(character);
    if (![...characters].some(character => test.test(character))) {
      for (let code = 0; code < 0x20000; code++) {
        const character = String.fromCodePoint(code);
        if (!test.test(character)) continue;
        characters.add(character);
        break;
      }
    }
  }
  return [...characters].map(character => {
    const flags = new Map(sets.map(({source, test}) => [source, test.test(character) ? 1 : 0]));
    return Uint8Array.from(places, place => flags.get(place)!);
  });
}

/** Characters that stand in a set, with their neighbours: ranges overlap where one's end lies in the other. */
function namedIn(source: string): string[] {
  const escaped = [...source.matchAll(/\\(?:u\{([\da-fA-F]+)\}|u([\da-fA-F]{4})|x([\da-fA-F]{2}))/g)].map(
    ([, braced, four, two]) => parseInt(braced ?? four ?? two!, 16),
  );
  const codes = [...escaped, ...Array.from(source, character => character.codePointAt(0)!)];
  return codes
    .flatMap(code => [code - 1, code, code + 1])
    .filter(code => code >= 0 && code <= 0x10ffff)
    .map(code => String.fromCodePoint(code));
}

/** Characters that match different places; those that match none are of no use. */
function distinct(matches: MatchTable): Uint8Array[] {
  const byPlaces = new Map(matches.map(flags => [flags.join(''), flags]));
  return [...byPlaces.values()].filter(flags => flags.includes(1));
}

/** Paths over the word `one other one other ...` that end, at any of its characters, where the pattern cannot. */
function unfinishedPaths(
  {places, first, follow, ends}: Automaton,
  one: Uint8Array,
  other: Uint8Array,
): number {
  let counts = new Float64Array(places.length);
  let next = new Float64Array(places.length);
  for (const [place, ways] of first) counts[place] = one[place] === 1 ? ways : 0;
  let total = 0;
  for (let i = 1; i <= wordLength; i++) {
    const character = i % 2 === 0 ? one : other;
    let alive = false;
    for (let place = 0; place < places.length; place++) {
      const count = counts[place]!;
      if (count === 0) continue;
      alive = true;
      if (!ends.has(place)) total += count;
      for (const {to, ways} of follow[place]!) if (character[to] === 1) next[to]! += count * ways;
    }
    if (!alive) break;
    [counts, next] = [next, counts];
    next.fill(0);
  }
  return total;
}

/**
 * Whether some word leads from a place of a loop back to it in two ways. In the graph of pairs of places that one word
 * reaches together, a pair of two different places then lies on a cycle with a pair of twice the same.
 */
function isExponential({places, follow}: Automaton, matches: MatchTable): boolean {
  const loops = components(places.length, place => follow[place]!.map(({to}) => to));
  const inLoop = (from: number, to: number) => loops[from] === loops[to];
  for (const [from, followers] of follow.entries()) {
    for (const {to, ways} of followers) if (ways > 1 && inLoop(from, to)) return true;
  }
  const share = (a: number, b: number) => matches.some(flags => flags[a] === 1 && flags[b] === 1);
  const count = places.length;
  const together = Uint8Array.from({length: count * count}, (_, pair) =>
    share(Math.floor(pair / count), pair % count) ? 1 : 0,
  );
  const ofPair = components(count * count, function* (pair) {
    const [a, b] = [Math.floor(pair / count), pair % count];
    for (const {to: toA} of follow[a]!) {
      if (!inLoop(a, toA)) continue;
      for (const {to: toB} of follow[b]!) {
        if (inLoop(b, toB) && together[toA * count + toB] === 1) yield toA * count + toB;
      }
    }
  });
  const ofSame = new Set(places.map((_, place) => ofPair[place * count + place]));
  return ofPair.some((component, pair) => Math.floor(pair / count) !== pair % count && ofSame.has(component));
}

/** The strongly connected component of each node (Tarjan, 1972, without recursion). */
function components(count: number, next: (node: number) => Iterable<number>): number[] {
  const component = new Array<number>(count).fill(-1);
  const index = new Int32Array(count).fill(-1);
  const low = new Int32Array(count);
  const open: number[] = [];
  let visited = 0;
  for (let start = 0; start < count; start++) {
    if (index[start] !== -1) continue;
    const path: {node: number; rest: Iterator<number>}[] = [];
    const enter = (node: number): void => {
      index[node] = low[node] = visited++;
      open.push(node);
      path.push({node, rest: next(node)[Symbol.iterator]()});
    };
    enter(start);
    while (path.length > 0) {
      const {node, rest} = path.at(-1)!;
      const step = rest.next();
      if (step.done !== true) {
        if (index[step.value] === -1) enter(step.value);
        else if (component[step.value] === -1) low[node] = Math.min(low[node]!, index[step.value]!);
        continue;
      }
      path.pop();
      const parent = path.at(-1)?.node;
      if (parent !== undefined) low[parent] = Math.min(low[parent]!, low[node]!);
      if (low[node] !== index[node]) continue;
      for (let member = -1; member !== node;) {
        member = open.pop()!;
        component[member] = node;
      }
    }
  }
  return component;
}
