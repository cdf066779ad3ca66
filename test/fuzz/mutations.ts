import fc from 'fast-check';
import {concat} from '../base/files/file_bytes.js';

// How valid files are damaged: their bytes, and the values of their JSON. All of it from fast-check, so that a failure shrinks
// and its seed repeats it.

/** Numbers at which lengths, counts and offsets go wrong. */
const edges: readonly bigint[] = [
  ...[0n, 1n, 2n, 3n, 7n, 8n, 31n, 32n, 255n, 256n, 0x7fffn, 0xffffn, 2n ** 24n, 2n ** 31n - 1n, 2n ** 31n],
  ...[2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n],
];

/** Bytes damaged one to three times: cut off, flipped, overwritten with edges, cut out, doubled, filled in. */
export function damagedBytes(wholes: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const bases = wholes.map(whole => new Uint8Array(whole)); // no Buffers: their slices share memory
  const place = fc.nat(2 ** 30 - 1).map(part => part / 2 ** 30); // `fc.double` gives nearly only tiny ones
  const damage = fc.oneof(
    fc.record({kind: fc.constant('cut' as const), at: place}),
    fc.record({kind: fc.constant('flip' as const), at: place, bit: fc.nat(7)}),
    fc.record({
      kind: fc.constant('word' as const),
      at: place,
      value: fc.constantFrom(...edges),
      wide: fc.boolean(),
    }),
    fc.record({kind: fc.constant('remove' as const), at: place, length: fc.integer({min: 1, max: 64})}),
    fc.record({
      kind: fc.constant('repeat' as const),
      at: place,
      length: fc.integer({min: 1, max: 256}),
      times: fc.integer({min: 1, max: 8}),
    }),
    fc.record({
      kind: fc.constant('insert' as const),
      at: place,
      bytes: fc.uint8Array({minLength: 1, maxLength: 32}),
    }),
  );
  return fc
    .tuple(fc.constantFrom(...bases), fc.array(damage, {minLength: 1, maxLength: 3}))
    .map(([base, damages]) =>
      damages.reduce<Uint8Array>((bytes, one) => {
        const at = Math.floor(one.at * bytes.length);
        switch (one.kind) {
          case 'cut':
            return bytes.slice(0, at);
          case 'flip':
            return bytes.map((byte, i) => (i === at ? byte ^ (1 << one.bit) : byte));
          case 'word':
            return overwritten(bytes, at, one.value, one.wide ? 8 : 4);
          case 'remove':
            return concat(bytes.subarray(0, at), bytes.subarray(at + one.length));
          case 'insert':
            return concat(bytes.subarray(0, at), one.bytes, bytes.subarray(at));
          case 'repeat': {
            const part = bytes.subarray(at, at + one.length);
            const parts = Array.from({length: one.times}, () => part);
            return concat(bytes.subarray(0, at), ...parts, bytes.subarray(at));
          }
        }
      }, base),
    );
}

function overwritten(bytes: Uint8Array, at: number, value: bigint, width: 4 | 8): Uint8Array {
  if (at + width > bytes.length) return bytes;
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  if (width === 8) view.setBigUint64(at, value, true);
  else view.setUint32(at, Number(value & 0xffffffffn), true);
  return copy;
}

/** JSON written out, so that it may be what no value is: doubled keys, numbers beyond all, `__proto__`, depth. */
const hostileTexts: readonly string[] = [
  ...['null', 'true', '""', '[]', '{}', '0', '-0', '-1', '0.5', '1e999', '-1e999', '1e-320', '2147483648'],
  ...[
    '4294967296',
    '9007199254740991',
    '9007199254740992',
    '18446744073709551616',
    '"__proto__"',
    '"constructor"',
  ],
  ...[
    '"../../outside"',
    '"/etc/hosts"',
    '"..\\\\outside"',
    '"C:\\\\outside"',
    '"\\u0000"',
    '"\\ud800"',
    '[null]',
    '[[]]',
  ],
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '{"toString":1,"hasOwnProperty":2,"valueOf":3,"length":4}',
  '[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]',
  `"${'a'.repeat(3000)}"`,
  `${'['.repeat(70)}${']'.repeat(70)}`,
  `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`,
  `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
  `[${'[],'.repeat(5000)}0]`,
];

/** A JSON text with one to three of its values replaced, left out, doubled or given further keys; mostly still JSON. */
export function damagedJson(bases: readonly string[], further: readonly string[] = []): fc.Arbitrary<string> {
  const any = fc.jsonValue({maxDepth: 2}).map(value => JSON.stringify(value));
  const text = fc.oneof(
    {weight: 2, arbitrary: fc.constantFrom(...hostileTexts)},
    {weight: 1, arbitrary: any},
    ...(further.length === 0 ? [] : [{weight: 3, arbitrary: fc.constantFrom(...further)}]),
  );
  const damage = fc.record({
    kind: fc.constantFrom(
      'replace' as const,
      'replace' as const,
      'remove' as const,
      'add' as const,
      'swap' as const,
    ),
    at: fc.nat(1 << 20),
    other: fc.nat(1 << 20),
    text,
    key: fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'length', '', 'type', 'a'),
  });
  return fc
    .tuple(fc.constantFrom(...bases), fc.array(damage, {minLength: 1, maxLength: 3}))
    .map(([base, damages]) => damages.reduce(damagedOnce, base));
}

interface JsonDamage {
  readonly kind: 'replace' | 'remove' | 'add' | 'swap';
  readonly at: number;
  readonly other: number;
  readonly text: string;
  readonly key: string;
}

/** Works on the text, between the ends of its values: nothing is lost of what a former damage wrote. */
function damagedOnce(text: string, {kind, at, other, text: put, key}: JsonDamage): string {
  const spans = valueSpans(text);
  const [start, end] = spans[at % spans.length]!;
  const before = text.slice(0, start);
  const behind = text.slice(end);
  switch (kind) {
    case 'replace':
      return before + put + behind;
    case 'remove': {
      // with its key and one comma, as if it had never been there
      const unkeyed = before.replace(/"(?:[^"\\]|\\.)*"\s*:\s*$/, '');
      return /^\s*,/.test(behind)
        ? unkeyed + behind.replace(/^\s*,/, '')
        : unkeyed.replace(/,\s*$/, '') + behind;
    }
    case 'swap':
      return before + text.slice(...spans[other % spans.length]!) + behind;
    case 'add': {
      const comma = /^[[{]\s*[\]}]/.test(text.slice(start)) ? '' : ',';
      if (text[start] === '{')
        return `${before}{${JSON.stringify(key)}:${put}${comma}${text.slice(start + 1)}`;
      if (text[start] === '[') return `${before}[${put}${comma}${text.slice(start + 1)}`;
      return `${before}[${put},${text.slice(start, end)}]${behind}`;
    }
  }
}

/** Where each value of a JSON text stands, keys not among them; the first 20,000. */
function valueSpans(text: string): [start: number, end: number][] {
  const spans: [number, number][] = [];
  const open: number[] = [];
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[[{]|[\]}]|[^\s,:[\]{}"]+/g;
  for (let match = token.exec(text); match !== null && spans.length < 20_000; match = token.exec(text)) {
    const [found, colon] = match;
    if (found === '[' || found === '{') open.push(match.index);
    else if (found === ']' || found === '}') {
      const start = open.pop();
      if (start !== undefined) spans.push([start, match.index + 1]);
    } else if (colon === undefined) spans.push([match.index, match.index + found.length]);
  }
  return spans.length === 0 ? [[0, text.length]] : spans;
}
