import {ModelError} from '../../../base/errors.js';

/**
 * Readies a pattern in the syntax of Oniguruma (Ruby) for the library's translation to JavaScript, which takes possessive
 * repetitions (`a++`) and atomic groups (`(?>a)`) for plain ones, and `(?i:s)` for `[sS]`, where Unicode also has U+017F. What
 * neither can say is refused.
 * @param compile translates a part of the pattern.
 * @returns `run` with such groups written as a look ahead and a reference to it; `judged` with plain ones.
 * @throws ModelError for what JavaScript would read otherwise.
 */
export function rewriteOniguruma(
  source: string,
  compile: (part: string) => RegExp,
): {run: string; judged: string} {
  return new Rewriter(source, compile).rewrite();
}

/** Characters of a pattern; real ones have some hundreds. */
const maxLength = 8192;

interface Group {
  /** Where in `run` it begins. */
  readonly at: number;
  readonly fold: boolean;
  readonly behind: boolean;
  readonly atomic: boolean;
}

/** Characters whose case folds to `s` or `k`, beside their own upper case. */
const furtherCases: ReadonlyMap<string, string> = new Map([
  ['s', '\u017f'],
  ['k', '\u212a'],
]);
/** Pairs of letters that without case also match one character (a sharp s, a ligature). */
const pairsOfOne = /^(?:ss|st|ff|fi|fl)$/;

class Rewriter {
  private at = 0;
  private run = '';
  private judged = '';
  private names = 0;
  private readonly groups: Group[] = [];
  /** Letters are of any case here. */
  private fold = false;
  /** Whether the place is in a lookbehind, which JavaScript matches from its end. */
  private behind = false;
  /** Where in `run` the last thing begins that can be repeated. */
  private atom: number | undefined;
  private letterBefore = '';

  constructor(
    private readonly source: string,
    private readonly compile: (part: string) => RegExp,
  ) {}

  rewrite(): {run: string; judged: string} {
    if (this.source.length > maxLength) throw this.refusal(`more than ${maxLength} characters`);
    while (this.at < this.source.length) this.next();
    return {run: this.run, judged: this.judged};
  }

  private next(): void {
    const quantifier =
      this.atom === undefined ? undefined : this.take(/(?:[*+?]|\{(?:\d+(?:,\d*)?|,\d+)\})[+?]?/y);
    if (quantifier !== undefined) return this.repeat(quantifier);
    const escape = this.take(/\\(?:[pPxu]\{[^}]*\}|x[\da-fA-F]{2}|u[\da-fA-F]{4}|c[A-Za-z]|[^])/y);
    if (escape !== undefined) return this.escape(escape);
    const open = this.take(/\((?:\?(?:[:=!>]|<[=!]|i:|<[A-Za-z_]\w*>)|(?!\?))/y);
    if (open !== undefined) return this.open(open);
    switch (this.source[this.at]) {
      case '(':
        throw this.refusal(`the group "${this.source.slice(this.at, this.at + 8)}"`);
      case ')':
        this.at++;
        return this.close();
      case '[':
        return this.characterClass();
      case '^':
        // no line begins at the very end of a text
        this.at++;
        this.atom = this.run.length;
        return this.write('(?:\\A|(?<=\\n)(?!\\z))');
      case '|':
        this.write(this.take(/\|/y)!);
        this.atom = undefined;
        return;
      default:
        return this.literal(this.take(/[\ud800-\udbff][\udc00-\udfff]|[^]/y)!);
    }
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.source)?.[0];
    this.at += match?.length ?? 0;
    return match;
  }

  private write(text: string): void {
    this.run += text;
    this.judged += text;
    this.letterBefore = '';
  }

  private refusal(what: string): ModelError {
    return new ModelError(
      `The tokenizer has the pattern ${this.source.slice(0, 200)}, and eigenkv does not read ${what} in it; ` +
        'use another conversion of the model.',
    );
  }

  private repeat(quantifier: string): void {
    const possessive = /^[*+?]\+$/.test(quantifier);
    if (/^\{\d+\}\?$/.test(quantifier) || /^(?:[*+?]|\{,?\d)/.test(this.source.slice(this.at, this.at + 3))) {
      throw this.refusal(`the repetition "${quantifier}"`);
    }
    // Ruby repeats what is repeated already: from one or none on, the count says nothing more
    const plain = quantifier.replace(/^\{0*1,\d*\}\+$/, '+').replace(/^\{0*,\d*\}\+$/, '*');
    this.write(possessive ? quantifier.slice(0, 1) : plain);
    if (possessive) this.neverGoBack(this.atom!);
    this.atom = undefined;
  }

  /** What was written since `from` is matched once, and never in another way. */
  private neverGoBack(from: number): void {
    if (this.behind) throw this.refusal('an atomic group or possessive repetition in a lookbehind');
    const name = `_${this.names++}`;
    this.run = `${this.run.slice(0, from)}(?:(?=(?<${name}>${this.run.slice(from)}))\\k<${name}>)`;
  }

  private escape(escape: string): void {
    // where a match began, what is left out, any grapheme, any line end, boundaries of graphemes, calls of groups
    if (/^\\[GKXRNOyYg]/.test(escape)) throw this.refusal(`"${escape}"`);
    if (this.fold && /^\\[xu]/.test(escape)) throw this.refusal(`"${escape}" of any case`);
    this.atom = this.run.length;
    this.write(escape);
  }

  private open(open: string): void {
    this.groups.push({at: this.run.length, fold: this.fold, behind: this.behind, atomic: open === '(?>'});
    if (open === '(?i:') this.fold = true;
    if (open.startsWith('(?<=') || open.startsWith('(?<!')) this.behind = true;
    this.write(open === '(?>' ? '(?:' : open);
    this.atom = undefined;
  }

  private close(): void {
    const group = this.groups.pop();
    this.write(')');
    if (group === undefined) return;
    this.fold = group.fold;
    this.behind = group.behind;
    if (group.atomic) this.neverGoBack(group.at);
    this.atom = group.at;
  }

  private characterClass(): void {
    const start = this.at;
    let depth = 0;
    do {
      const piece = this.take(/\[:\^?[a-z]+:\]|\[\^?\]?|\\[^]|[^]/y);
      if (piece === undefined) throw this.refusal('a class without an end');
      if (piece.startsWith('[') && !piece.endsWith(':]')) depth++;
      else if (piece === ']') depth--;
    } while (depth > 0);
    let text = this.source.slice(start, this.at);
    if (this.fold) text = this.foldedClass(text);
    this.atom = this.run.length;
    this.write(text);
  }

  private foldedClass(text: string): string {
    if (/\\[xu]|&&/.test(text)) throw this.refusal(`"${text}" of any case`);
    for (const character of text) this.refuseFurtherCases(character);
    const members = this.compile(text.startsWith('[^') ? `[${text.slice(2)}` : text);
    const further = [...furtherCases].filter(([letter]) =>
      [letter, letter.toUpperCase()].some(one => one.search(members) === 0),
    );
    return `${text.slice(0, -1)}${further.map(([, other]) => other).join('')}]`;
  }

  private literal(character: string): void {
    this.atom = this.run.length;
    if (!this.fold) return this.write(character);
    this.refuseFurtherCases(character);
    const letter = character.toLowerCase();
    if (pairsOfOne.test(this.letterBefore + letter)) {
      throw this.refusal(`"${this.letterBefore}${letter}" of any case`);
    }
    const other = furtherCases.get(letter);
    this.write(other === undefined ? character : `[${letter}${letter.toUpperCase()}${other}]`);
    this.letterBefore = letter;
  }

  /** The library folds ASCII only. */
  private refuseFurtherCases(character: string): void {
    if (character > '\u007f' && character.toLowerCase() !== character.toUpperCase()) {
      throw this.refusal(`"${character}" of any case`);
    }
  }
}
