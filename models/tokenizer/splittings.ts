import {gpt2Pattern} from './steps/pre_tokenizers.js';

/** How a byte-level vocabulary splits text before merging. */
export interface Splitting {
  /** Patterns applied one after the other; each isolates its matches. */
  readonly patterns: readonly string[];
  /** Patterns applied after bytes have become characters. */
  readonly bytePatterns?: readonly string[];
  readonly normalizer?: object;
  /** Whether a piece that is a token is taken as it is, whatever the merges give. */
  readonly ignoreMerges?: boolean;
  readonly addBos?: boolean;
}

// Parts of patterns, named after what they match. Patterns are those of the models' own tokenizer.json where it is known, in the
// syntax of Oniguruma.
const contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const word = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const symbols = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*';
const pathSymbols = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*';
const lines = '\\s*[\\r\\n]+';
const blanks = '\\s+(?!\\S)|\\s+';
const threeDigits = '\\p{N}{1,3}';
/** Rows of digits in threes, counted from their end. */
const thousands = '\\d{1,3}(?=(?:\\d{3})*\\b)';
const [upper, lower] = ['[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]', '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'];
const kana = '[一-龥぀-ゟ゠-ヿ]+';

const anyOf = (...parts: readonly string[]): string => parts.join('|');
/** Words that begin with capitals or go on in lower case, as GPT-4o has them. */
const casedWords = (end = '', [head, tail] = [upper, lower]): string => {
  const before = '[^\\r\\n\\p{L}\\p{N}]?';
  return `${before}${head}*${tail}+${end}|${before}${head}+${tail}*${end}`;
};
/** The letters of a class that are no Han characters. */
const notHan = (letters: string): string => `(?:(?!\\p{Han})${letters})`;

const cl100k = (digits: string): string => anyOf(contraction, word, digits, symbols, lines, blanks);
const gpt4o = (digits: string): string =>
  anyOf(casedWords(`${contraction}?`), digits, pathSymbols, lines, blanks);
/** Words of DeepSeek 3, which keep marks and one character of punctuation before them. */
const deepseekWords =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+';
const deepseek3 = anyOf(deepseekWords, ' ?[\\p{P}\\p{S}]+[\r\n]*', '\\s*[\r\n]+', blanks);
const bloom = ' ?[^(\\s|[.,!?…。，、।۔،])]+';
/** Letters that have upper and lower case, as DeepSeek lists them; what normalisation would change is escaped. */
const casedLetters =
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼ' +
  'ℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';
const deepseekHan = '[一-龥ࠀ-一가-퟿]+';

const nfc = {type: 'NFC'};

const gpt2: Splitting = {patterns: [gpt2Pattern]};
const digitsAndGpt2: Splitting = {patterns: ['\\p{N}', gpt2Pattern]};
const llama3: Splitting = {patterns: [cl100k(threeDigits)], ignoreMerges: true, addBos: true};
const qwen2: Splitting = {patterns: [cl100k('\\p{N}')], normalizer: nfc};
const gptNeoX: Splitting = {patterns: [gpt2Pattern], normalizer: nfc};
/** What llama.cpp uses for files without `tokenizer.ggml.pre`, unless the vocabulary is known. */
const unnamed: Splitting = {
  patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2Pattern, '\\p{N}+', '[0-9][0-9][0-9]'],
};

/**
 * Ways to split text by the `tokenizer.ggml.pre` that name them; a tokenizer that is saved gets the first name.
 * Source of the names and of what has no other: llama.cpp, src/llama-vocab.cpp (MIT).
 */
const rules: readonly (readonly [names: string, Splitting])[] = [
  ['gpt-2 gpt2 phi-2 jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe', gpt2],
  ['gigachat a.x-4.0 mellum exaone4 jais trillion granite-docling', gpt2],
  ['mpt olmo modern-bert', gptNeoX],
  ['smollm starcoder refact codeshell exaone minerva-7b mellum2', digitsAndGpt2],
  ['command-r', {...digitsAndGpt2, normalizer: nfc}],
  ['llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano', llama3],
  ['glm4 glm5', {patterns: llama3.patterns, ignoreMerges: true}],
  ['dbrx smaug-bpe chatglm-bpe', {patterns: llama3.patterns}],
  ['minicpm5', {patterns: [threeDigits, cl100k('\\p{N}+')], ignoreMerges: true}],
  ['qwen2 deepseek-r1-qwen kormo f2llmv2 megrez', qwen2],
  ['stablelm2 hunyuan solar-open grok-2', {patterns: qwen2.patterns}],
  ['laguna', {patterns: ['[^\\n]+|[\\n]+', ...qwen2.patterns]}],
  ['ufakzeka', {patterns: [anyOf(word, '\\p{N}', symbols, lines, blanks)]}],
  [
    'qwen35',
    {
      patterns: [
        `${contraction}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${lines}|${blanks}`,
      ],
      normalizer: nfc,
    },
  ],
  [
    'seed-coder',
    {patterns: [anyOf(contraction, word, '\\p{N}{1}', ' ?[^\\s\\p{L}\\p{N}\\r\\n]+', lines, blanks)]},
  ],
  [
    'bailingmoe bailingmoe2 llada-moe',
    {
      patterns: [
        `'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|${blanks}`,
      ],
    },
  ],
  [
    'exaone-moe',
    {
      patterns: [
        `${contraction}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|${blanks}`,
      ],
    },
  ],
  ['gpt-4o llama4 kanana2 talkie minimax-m2', {patterns: [gpt4o(threeDigits)]}],
  ['granite-embed-multi-97m', {patterns: [gpt4o(threeDigits)], ignoreMerges: true}],
  ['tiny_aya cohere2moe', {patterns: [thousands, gpt4o(threeDigits)]}],
  [
    'tekken',
    {
      patterns: [anyOf(casedWords(), '\\p{N}', pathSymbols, lines, blanks)],
      ignoreMerges: true,
      addBos: true,
    },
  ],
  [
    'youtu',
    {
      patterns: [`[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|${kana}`, gpt4o('\\p{N}')],
      ignoreMerges: true,
    },
  ],
  [
    'kimi-k2',
    {
      patterns: [
        anyOf(
          '\\p{Han}+',
          casedWords(`${contraction}?`, [notHan(upper), notHan(lower)]),
          ...[threeDigits, symbols, lines, blanks],
        ),
      ],
    },
  ],
  ['deepseek-v3 hunyuan-dense joyai-llm hy_v4', {patterns: [threeDigits, kana, deepseek3]}],
  [
    'spark2_5',
    {
      patterns: [threeDigits, kana, anyOf(deepseekWords, ' ?[\\p{P}\\p{S}]+', '[\\r\\n]', blanks), '\\p{N}'],
    },
  ],
  [
    'deepseek-llm',
    {
      patterns: [
        '[\r\n]',
        `\\s?[${casedLetters}]+`,
        '\\s?[!-/:-~！-／：-～‘-‟　-。]+',
        ...['\\s+$', deepseekHan, '\\p{N}+'],
      ],
    },
  ],
  ['deepseek-coder', {patterns: ['[\r\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', deepseekHan, '\\p{N}']}],
  [
    'afmoe',
    {
      patterns: [
        '\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))',
        '[一-鿿㐀-䶿豈-﫿぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+',
        deepseek3,
      ],
    },
  ],
  ['superbpe', {patterns: ['\\p{N}+', '(?=(\\d{3})+(?!\\d))']}],
  ['bloom poro-chat gpt3-finnish', {patterns: [bloom]}],
  ['viking', {patterns: [bloom, '\\p{N}']}],
  // the last two steps of Falcon's own tokenizer see the characters of bytes
  [
    'falcon',
    {
      patterns: ['[\\p{P}!-/:-@\\[-`{-~]+', gpt2Pattern],
      bytePatterns: ['\\p{N}+', '[0-9][0-9][0-9]'],
    },
  ],
  [
    'chameleon',
    {
      patterns: [
        ...['<sentinel:[0-9]+>', '(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z', '([\\t\\n]|    |  )', '\\p{N}'],
        ...['[\\p{P}!-/:-@\\[-`{-~]', gpt2Pattern],
      ],
      addBos: true,
    },
  ],
  ['default', unnamed],
];

/** How a byte-level vocabulary splits text before merging, by the `tokenizer.ggml.pre` of its file. */
export const splittings: ReadonlyMap<string, Splitting> = new Map(
  rules.flatMap(([names, splitting]) => names.split(' ').map(name => [name, splitting] as const)),
);

/** Names that llama.cpp knows and eigenkv does not, and why. */
export const otherSplittings: ReadonlyMap<string, string> = new Map([
  [
    'jais-2',
    'its pattern counts white space in rows of up to 512 characters, too many for untrusted patterns',
  ],
  ['whitespace', 'it is for encoders, and eigenkv reads decoders'],
]);

/** The `tokenizer.ggml.pre` of this way to split text; undefined if no file can name it. */
export function nameOfSplitting(splitting: Splitting): string | undefined {
  const key = keyOf(splitting);
  for (const [name, known] of splittings) if (keyOf(known) === key) return name;
  return undefined;
}

function keyOf({patterns, bytePatterns = [], normalizer, ignoreMerges = false}: Splitting): string {
  return JSON.stringify([patterns, bytePatterns, normalizer ?? null, ignoreMerges]);
}
