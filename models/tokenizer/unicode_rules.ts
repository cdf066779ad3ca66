/**
 * Splitting as the Rust library `tokenizers` does it. JavaScript's `\d` and `\s` are not Unicode's: version 0.2.0 of
 * @huggingface/tokenizers splits off digits with ASCII `\d` where Rust takes every numeric character, and its
 * byte-level pattern takes U+FEFF for a space and U+0085 for none. Its patterns given as `Regex` are translated
 * right, so both steps are written as such.
 */

/** GPT-2's pattern (Radford et al. 2019, encoder.py), as the byte-level step applies it. */
export const gpt2Pattern =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** A step that keeps every match and everything between matches as pieces of their own. */
export function isolate(pattern: string): object {
  return {type: 'Split', pattern: {Regex: pattern}, behavior: 'Isolated', invert: false};
}

/** The byte-level step after a split: bytes to their printable characters. */
export const bytesOnly = {type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false};

/** The same pre-tokenizer with the two steps above replaced; anything else is left as it is. */
export function withUnicodeRules(preTokenizer: unknown): unknown {
  if (typeof preTokenizer !== 'object' || preTokenizer === null || !('type' in preTokenizer))
    return preTokenizer ?? null;
  if (preTokenizer.type === 'Digits') {
    return isolate(
      'individual_digits' in preTokenizer && preTokenizer.individual_digits === true ? '\\p{N}' : '\\p{N}+',
    );
  }
  if (preTokenizer.type === 'ByteLevel') {
    const splits = !('use_regex' in preTokenizer) || preTokenizer.use_regex !== false;
    // the prefix space comes before the split, so a step that adds one cannot be taken apart
    const prefixes = 'add_prefix_space' in preTokenizer && preTokenizer.add_prefix_space === true;
    if (!splits || prefixes) return preTokenizer;
    return {type: 'Sequence', pretokenizers: [isolate(gpt2Pattern), bytesOnly]};
  }
  if (
    preTokenizer.type === 'Sequence' &&
    'pretokenizers' in preTokenizer &&
    Array.isArray(preTokenizer.pretokenizers)
  ) {
    return {...preTokenizer, pretokenizers: preTokenizer.pretokenizers.map(withUnicodeRules)};
  }
  return preTokenizer;
}

/**
 * The same step with the content of each replacement taken as it is, as Rust takes it: the library hands it to `replaceAll`,
 * where `$&`, `$'` and their like stand for parts of the text.
 */
export function withLiteralContents(step: unknown): unknown {
  if (Array.isArray(step)) return step.map(withLiteralContents);
  if (typeof step !== 'object' || step === null || !('type' in step)) return step;
  if (step.type === 'Replace' && 'content' in step && typeof step.content === 'string') {
    return {...step, content: step.content.replaceAll('$', '$$$$')};
  }
  if (step.type !== 'Sequence') return step;
  return Object.fromEntries(Object.entries(step).map(([key, value]) => [key, withLiteralContents(value)]));
}
