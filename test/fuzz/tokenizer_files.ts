// Small tokenizer.json files of every kind, what can be put into them to do harm, and texts to try them on.

const letters = Array.from('abcdefghijklmnopqrstuvwxyz0123456789.,!\'"');
const merges: [string, string][] = [
  ['t', 'h'],
  ['th', 'e'],
  ['Ġ', 'the'],
  ['a', 'a'],
  ['aa', 'aa'],
  ['i', 'n'],
];
const vocabulary = (tokens: readonly string[]): Record<string, number> =>
  Object.fromEntries(tokens.map((token, id) => [token, id]));
const added = (id: number, content: string, special = true): object => ({
  ...{id, content, special, normalized: !special, single_word: false, lstrip: false, rstrip: false},
});

const byteLevel = {
  version: '1.0',
  added_tokens: [added(60, '<s>'), added(61, '</s>'), added(62, 'New Word', false)],
  normalizer: {type: 'NFC'},
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      {type: 'Split', pattern: {Regex: '\\p{N}{1,3}'}, behavior: 'Isolated', invert: false},
      {type: 'Digits', individual_digits: true},
      {type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true},
    ],
  },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{SpecialToken: {id: '<s>', type_id: 0}}, {Sequence: {id: 'A', type_id: 0}}],
    pair: [{Sequence: {id: 'A', type_id: 0}}, {Sequence: {id: 'B', type_id: 1}}],
    special_tokens: {'<s>': {id: '<s>', ids: [60], tokens: ['<s>']}},
  },
  decoder: {type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true},
  model: {
    ...{
      type: 'BPE',
      dropout: null,
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
    },
    vocab: vocabulary([...letters, 'Ġ', 'Ċ', ...merges.map(pair => pair.join(''))]),
    merges: merges.map(pair => pair.join(' ')),
  },
};

const sentencePiece = {
  version: '1.0',
  added_tokens: [added(0, '<unk>'), added(1, '<s>'), added(2, '</s>')],
  normalizer: {
    type: 'Sequence',
    normalizers: [
      {type: 'Prepend', prepend: '▁'},
      {type: 'Replace', pattern: {String: ' '}, content: '▁'},
      {type: 'Replace', pattern: {Regex: '\\s+'}, content: '$&'},
      {type: 'NFKC'},
      {type: 'Lowercase'},
      {type: 'Strip', strip_left: false, strip_right: true},
    ],
  },
  pre_tokenizer: null,
  post_processor: null,
  decoder: {
    type: 'Sequence',
    decoders: [
      {type: 'Replace', pattern: {String: '▁'}, content: ' '},
      {type: 'ByteFallback'},
      {type: 'Fuse'},
      {type: 'Strip', content: ' ', start: 1, stop: 0},
    ],
  },
  model: {
    ...{type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true},
    vocab: vocabulary(['<unk>', '<s>', '</s>', ...letters, '▁', 'th', 'the', 'aa', 'aaaa']),
    merges: [
      ['t', 'h'],
      ['th', 'e'],
      ['a', 'a'],
      ['aa', 'aa'],
    ],
  },
};

const wordPiece = {
  added_tokens: [added(0, '[UNK]'), added(1, '[CLS]'), added(2, '[SEP]')],
  normalizer: {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: {type: 'BertPreTokenizer'},
  post_processor: {type: 'BertProcessing', cls: ['[CLS]', 1], sep: ['[SEP]', 2]},
  decoder: {type: 'WordPiece', prefix: '##', cleanup: true},
  model: {
    ...{
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
    },
    vocab: vocabulary([
      '[UNK]',
      '[CLS]',
      '[SEP]',
      ...letters,
      ...letters.map(letter => `##${letter}`),
      'the',
    ]),
  },
};

/** A trie of Darts that knows U+0009, which becomes a space: ten units, then the text. */
const charsmap = (() => {
  const bytes = new Uint8Array(4 + 40 + 2);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 40, true);
  view.setUint32(4 + 4 * 9, 9 | (1 << 8) | (8 << 10), true); // the label, that a value follows, where: 9 ^ 8
  view.setUint32(4 + 4 * 1, 0x80000000, true);
  bytes.set([0x20, 0], 44);
  return btoa(String.fromCharCode(...bytes));
})();

const unigram = {
  added_tokens: [added(0, '<unk>'), added(45, '<extra>', false)],
  normalizer: {type: 'Precompiled', precompiled_charsmap: charsmap},
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      {type: 'WhitespaceSplit'},
      {type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true},
    ],
  },
  post_processor: {type: 'Sequence', processors: [{type: 'ByteLevel', trim_offsets: true}]},
  decoder: {type: 'Metaspace', replacement: '▁', prepend_scheme: 'always'},
  model: {
    type: 'Unigram',
    unk_id: 0,
    vocab: [
      ['<unk>', 0],
      ['▁', -2],
      ['the', -3],
      ['aa', -4],
      ...letters.map((letter, i) => [letter, -5 - i / 10]),
    ],
  },
};

export const tokenizerFiles: readonly string[] = [byteLevel, sentencePiece, wordPiece, unigram].map(file =>
  JSON.stringify(file),
);

/** Patterns that match for ever, or try to. */
export const endlessPatterns: readonly string[] = [
  ...[
    '(a+)+$',
    '(a|a)*b',
    '(a|aa)+$',
    '(.*)*x',
    '(\\w+\\s?)*$',
    '([a-z]+)*\\d',
    '(x+x+)+y',
    '(a?){50}a{50}',
    'a*a*a*a*b',
  ],
  ...[
    '((a{0,100}){0,100}){0,100}',
    '(?=(a+)+b)',
    '\\p{L}*\\p{L}*\\p{L}*!',
    '(?:(?:a*)*)*',
    '(?<=(a+)+b)c',
    '(a)\\1+b',
  ],
  ...[
    '[\\s\\S]*?[\\s\\S]*?[\\s\\S]*?Z',
    '(ab|ab)*c',
    '(?:a|b|ab)*c',
    '(ab)*(ab)*(ab)*c',
    '(.|\\n)*(.|\\n)*x',
    'a{1,60000}b',
  ],
  ...[
    '(?:a*a*b|a)',
    '(?:a*a*(?!a)(?=b))',
    '(?:ab?|ba?)*c',
    '(a{1,200}){1,200}',
    '\\s*\\s*\\s*x|\\s',
    '(?:[a-f]|[e-z])*!',
  ],
  ...['a?'.repeat(40) + 'a'.repeat(40), '(?:a(?=a*b))*c', '(a'.repeat(30) + '+)'.repeat(30) + '$'],
];

const repeated = (step: object, times: number): unknown[] => Array.from({length: times}, () => step);

/** What can be put anywhere into a tokenizer.json: steps that run for ever, grow a text or nest. */
export const hostileTokenizerTexts: readonly string[] = [
  ...endlessPatterns.flatMap(pattern => [
    {Regex: pattern},
    {type: 'Split', pattern: {Regex: pattern}, invert: false},
  ]),
  ...endlessPatterns.slice(0, 6).map(pattern => ({type: 'Replace', pattern: {Regex: pattern}, content: ''})),
  {type: 'Sequence', normalizers: repeated({type: 'Replace', pattern: {String: 'a'}, content: 'aa'}, 40)},
  {type: 'Sequence', decoders: repeated({type: 'Replace', pattern: {String: 'a'}, content: 'aa'}, 40)},
  {type: 'Sequence', normalizers: repeated({type: 'Replace', pattern: {Regex: '.'}, content: "$`$'"}, 12)},
  {type: 'Sequence', normalizers: repeated({type: 'Replace', pattern: {String: ''}, content: 'b'}, 40)},
  {type: 'Sequence', pretokenizers: repeated({type: 'ByteLevel', use_regex: false}, 40)},
  {type: 'Sequence', pretokenizers: repeated({type: 'Metaspace', replacement: ' ', str_rep: '  '}, 40)},
  {
    type: 'Sequence',
    normalizers: [].concat(
      ...(repeated(
        [{type: 'Replace', pattern: {String: ' '}, content: '\ufdfa'}, {type: 'NFKD'}] as object,
        20,
      ) as never[]),
    ),
  },
  {type: 'Precompiled', precompiled_charsmap: btoa(`\x04\0\0\0\0\0\0\0${'x'.repeat(5000)}\0`)},
  {type: 'Precompiled', precompiled_charsmap: '////'},
  {type: 'Split', pattern: {Regex: '(?>a+)+b'}, behavior: 'Contiguous', invert: true},
  {type: 'Split', pattern: {Regex: '(a++|b?)*c'}, behavior: 'MergedWithNext', invert: false},
  {type: 'Split', pattern: {Regex: '(?i:[a-z]+)*ſ'}, behavior: 'Removed', invert: false},
  {type: 'Split', pattern: {String: ''}, behavior: 'Isolated', invert: true},
  {type: 'Metaspace', replacement: '😀', prepend_scheme: 'first', split: true},
  {type: 'CharDelimiterSplit', delimiter: ''},
  {type: 'WordPiece', prefix: '', cleanup: true},
  {type: 'FixedLength', length: 0},
  {type: 'FixedLength', length: -1},
  {type: 'FixedLength', length: 1e-9},
  {type: 'Prepend', prepend: 'x'.repeat(5000)},
  {type: 'Strip', content: 'a', start: 1e15, stop: 1e15},
  {type: 'BPEDecoder', suffix: ''},
  {type: 'CTC', pad_token: '', word_delimiter_token: '', cleanup: true},
  {type: 'TemplateProcessing', single: repeated({Sequence: {id: 'A', type_id: 0}}, 50)},
  {type: 'TemplateProcessing', single: [{SpecialToken: {id: 'nobody', type_id: 0}}]},
  {type: 'BertProcessing'},
  nested(30),
  1e9,
  'Unigram',
  'WordPiece',
].map(value => JSON.stringify(value));

function nested(depth: number): object {
  return depth === 0
    ? {type: 'NFC'}
    : {type: 'Sequence', normalizers: [nested(depth - 1)], pretokenizers: [], decoders: []};
}

/** Long enough that what is exponential or cubic takes more than a second. */
export const probes: readonly string[] = [
  "The quick brown fox can't jump over 12345 lazy dogs, at once!\n\n  No?",
  'a'.repeat(1200),
  ' '.repeat(700),
  'ab'.repeat(300) + 'ac!',
  '\n\t \u00a0\u0085\ufeff\u200d👩‍👩‍👧 naïve ﷺ \ud800 中文 ١٢٣',
];
