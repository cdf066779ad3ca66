import {byteOfCharacter, utf8, utf8Text} from './bytes.js';
import {type Fields, needBoolean, needCharacter, needInteger, needString} from './fields.js';
import {readMetaspace} from './metaspace.js';
import {cutterOf, readPattern} from './patterns.js';
import {type Makers, listOf, makeStep} from './make_step.js';

/** Tokens to texts that, joined, are the text. */
export type Decoder = (tokens: readonly string[]) => readonly string[];

const decoders: Makers<Decoder> = {
  BPEDecoder(step) {
    const suffix = needString(step, 'suffix');
    return tokens => tokens.map((token, i) => replaceText(token, suffix, i === tokens.length - 1 ? '' : ' '));
  },
  ByteFallback: () => joinBytes,
  ByteLevel: () => bytesToText,
  CTC: ctc,
  Fuse: () => tokens => [tokens.join('')],
  Metaspace: metaspaceDecoder,
  Replace(step) {
    const cut = cutterOf(readPattern(step['pattern']));
    const content = needString(step, 'content');
    return tokens =>
      tokens.map(token =>
        cut(token)
          .map(({start, end, matched}) => (matched ? content : token.slice(start, end)))
          .join(''),
      );
  },
  Sequence(step) {
    const steps = listOf(step, 'decoders').map(readDecoder);
    return tokens => steps.reduce<readonly string[]>((before, one) => one(before), tokens);
  },
  Strip: stripDecoder,
  WordPiece: wordPieceDecoder,
};

/** @throws FormatError if a step lacks what it needs, ModelError if it is not known. */
export function readDecoder(step: unknown): Decoder {
  if (step === null) return tokens => [tokens.join(' ')];
  return makeStep(step, 'decoder', decoders);
}

/** With nothing to look for, between all characters and around them, as Rust has it. */
function replaceText(text: string, from: string, to: string): string {
  return from === ''
    ? [to, ...Array.from(text, character => character + to)].join('')
    : text.replaceAll(from, () => to);
}

/** A token with a character that is not a byte's is plain text. */
function bytesToText(tokens: readonly string[]): readonly string[] {
  const bytes: number[] = [];
  for (const token of tokens) {
    const own = Array.from(token, character => byteOfCharacter.get(character));
    if (own.every(byte => byte !== undefined)) for (const byte of own) bytes.push(byte);
    else for (const byte of utf8.encode(token)) bytes.push(byte);
  }
  return [utf8Text.decode(Uint8Array.from(bytes))];
}

export const byteToken = /^<0x([\dA-Fa-f]{2})>$/;

const strictText = new TextDecoder('utf-8', {ignoreBOM: true, fatal: true});

/** Rows of tokens `<0x..>` to the text of their bytes; a row that is not UTF-8 becomes U+FFFD for each of its tokens. */
function joinBytes(tokens: readonly string[]): readonly string[] {
  const out: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length > 0) out.push(textOrMarks(bytes));
    bytes = [];
  };
  for (const token of tokens) {
    const byte = byteToken.exec(token)?.[1];
    if (byte !== undefined) bytes.push(parseInt(byte, 16));
    else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

function textOrMarks(bytes: readonly number[]): string {
  try {
    return strictText.decode(Uint8Array.from(bytes));
  } catch {
    return '\ufffd'.repeat(bytes.length);
  }
}

/** Spaces before punctuation and within contractions, taken out. */
function cleanUp(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}

/** Connectionist temporal classification (Graves et al. 2006): a token repeated is one, padding nothing. */
function ctc(step: Fields): Decoder {
  const pad = needString(step, 'pad_token');
  const delimiter = needString(step, 'word_delimiter_token');
  const cleans = needBoolean(step, 'cleanup');
  return tokens =>
    tokens
      .filter((token, i) => token !== tokens[i - 1])
      .map(token => replaceText(token, pad, ''))
      .map(token => (cleans ? replaceText(cleanUp(token), delimiter, ' ') : token))
      .filter(token => token !== '');
}

function metaspaceDecoder(step: Fields): Decoder {
  const {replacement, scheme} = readMetaspace(step);
  return tokens =>
    tokens.map((token, i) => token.replaceAll(replacement, i === 0 && scheme !== 'never' ? '' : ' '));
}

function stripDecoder(step: Fields): Decoder {
  const content = needCharacter(step, 'content');
  const start = needInteger(step, 'start', 0, Number.MAX_SAFE_INTEGER);
  const stop = needInteger(step, 'stop', 0, Number.MAX_SAFE_INTEGER);
  return tokens =>
    tokens.map(token => {
      const characters = Array.from(token);
      const others = characters.findIndex(character => character !== content);
      const from = Math.min(start, others < 0 ? characters.length : others);
      const trailing = characters.length - 1 - characters.findLastIndex(character => character !== content);
      const to = characters.length - Math.min(stop, trailing);
      return characters.slice(from, to).join('');
    });
}

function wordPieceDecoder(step: Fields): Decoder {
  const prefix = needString(step, 'prefix');
  const cleans = needBoolean(step, 'cleanup');
  return tokens =>
    tokens.map((token, i) => {
      const joined = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      return cleans ? cleanUp(joined) : joined;
    });
}
