import {type Automaton, automatonOf, tooCostly} from './pattern_automaton.js';
import {type PatternNode, parsePattern} from './pattern_nodes.js';
import {strongComponents} from './strong_components.js';

/** The length, in characters, of the words over which paths are counted. */
const wordLength = 128;
/** The most paths per character of a word. Real patterns have one for each of their alternatives. */
const maxPathsPerCharacter = 32;

/**
 * Refuses patterns on which the backtracking matcher of JavaScript could take for ever. `(a+)+b` on a row of a's is one: the
 * matcher tries all ways to read the text before it gives up. These ways are the paths of the pattern's automaton, so they are
 * counted without running it. A pattern is refused if
 *
 * - a loop reads the same word in two ways (exponential ambiguity; Weber and Seidl, 1991).
 * - there are more than 32 n unfinished paths over a word `cccc...` or `cdcd...` of n = 128 characters, as in `a*a*b` and
 *   `a?a?a?...`. A path is finished if the whole pattern could end there, because the matcher then stops.
 * - a repetition contains a lookaround that contains a repetition, as `(?:a(?=a*b))*`.
 *
 * The other patterns take, at each character, time in proportion to the length of the text: quadratic time at worst.
 *
 * @param source the source of a `RegExp` with the flag `u`.
 * @throws ModelError if the pattern is refused.
 */
export function checkPatternCost(source: string): void {
  check(parsePattern(source), source, false);
}

function check(node: PatternNode, source: string, inLook: boolean): void {
  const automaton = automatonOf(node, source, inLook);
  const matches = matchTable(automaton.places);
  if (isExponential(automaton, matches)) throw tooCostly(source);
  for (const look of automaton.looks) check(look, source, true);
  const characters = distinct(matches);
  for (const one of characters) {
    for (const other of characters) {
      if (unfinishedPaths(automaton, one, other) > maxPathsPerCharacter * wordLength) throw tooCostly(source);
    }
  }
}

/** Characters of all kinds that patterns distinguish: general categories, and scripts other than Latin. */
const samples =
  'azAZ09_\'"sStTmMdDrRlLvVeEéßÇǅʰªα Ωяא ع अ ก 中 あ ア 가 ٣ Ⅷ ² \u0301\u0903\u20dd-–(«)»!%.,;:/?#&*+<=>@[]{}|~$€^`¨©' +
  ' \t\n\v\f\r\u0000\u007f\u0085\u00a0\u00ad\u200b\u200d\u2028\u2029\u3000\ufeff\ufffd\ue000\u0378😀𝐀';

/** Which characters each place matches: for each character a flag for every place. */
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

/** The characters in the text of a set, and their neighbours: if two ranges overlap, the end of one is in the other. */
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

/** One character for each set of places that a character can match, except the empty set. */
function distinct(matches: MatchTable): Uint8Array[] {
  const byPlaces = new Map(matches.map(flags => [flags.join(''), flags]));
  return [...byPlaces.values()].filter(flags => flags.includes(1));
}

/** The number of paths over the beginnings of the word `one other one other ...` after which the pattern cannot end. */
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
 * Whether a word leads from a place of a loop back to it in two ways. That is the case if, in the graph of pairs of places that
 * the same word reaches, a pair of different places is on a cycle with a pair of equal places.
 */
function isExponential({places, follow}: Automaton, matches: MatchTable): boolean {
  const loops = strongComponents(places.length, place => follow[place]!.map(({to}) => to));
  const inLoop = (from: number, to: number) => loops[from] === loops[to];
  for (const [from, followers] of follow.entries()) {
    for (const {to, ways} of followers) if (ways > 1 && inLoop(from, to)) return true;
  }
  const share = (a: number, b: number) => matches.some(flags => flags[a] === 1 && flags[b] === 1);
  const count = places.length;
  const together = Uint8Array.from({length: count * count}, (_, pair) =>
    share(Math.floor(pair / count), pair % count) ? 1 : 0,
  );
  const ofPair = strongComponents(count * count, function* (pair) {
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
