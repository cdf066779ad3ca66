import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {crc32} from '../../base/crc32.js';
import {bytesSource} from '../../base/files/byte_source.js';
import {readSafetensorsHeader} from '../../base/files/safetensors.js';
import {Chat, chat} from '../../models/chat/chat.js';
import {renderChat} from '../../models/chat/render_chat.js';
import type {TextModel} from '../../models/loaded_model.js';
import {safetensorsBytes} from '../base/files/file_bytes.js';
import {readGolden} from '../support/golden.js';
import {characterTokenizer as tokenizer, tinyModel} from '../support/tiny_model.js';
import type {Reader} from './harness.js';
import {damagedBytes, damagedJson} from './mutations.js';

const utf8 = new TextEncoder();

const templates = Object.values(
  (readGolden('chat/model_templates.json') as {templates: Record<string, {template: string}>}).templates,
).map(({template}) => template);

const names = ['x', 'ns.x', 'messages', 'messages[0].content', 'nothing', 'loop'];
const texts = ["'a'", "''", "'</think>'", '[]', '1', '99999999', '-1', '[1, 2]', "{'a': 1}", 'range(50000)'];

/** Templates that are whole, and grow, loop and search as they like. */
const {blocks: programs} = fc.letrec<{expression: string; block: string; blocks: string}>(tie => ({
  expression: fc.oneof(
    {maxDepth: 5, depthSize: 'small'},
    fc.constantFrom(...names, ...texts),
    fc
      .tuple(tie('expression'), fc.constantFrom('+', '~', 'in', '==', '*'), tie('expression'))
      .map(all => all.join(' ')),
    fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `[${a}, ${b}]`),
    fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `{'a': ${a}, 'b': ${b}}`),
    fc
      .tuple(
        tie('expression'),
        fc.constantFrom('upper', 'tojson', 'join', 'length', 'list', 'sort', 'string', 'trim'),
      )
      .map(([a, filter]) => `(${a}) | ${filter}`),
    fc
      .tuple(tie('expression'), fc.constantFrom('replace', 'join', 'indent', 'default'), tie('expression'))
      .map(([a, filter, b]) => `(${a}) | ${filter}(${b}, ${b})`),
    fc
      .tuple(
        tie('expression'),
        fc.constantFrom('split', 'replace', 'strip', 'startswith', 'items'),
        tie('expression'),
      )
      .map(([a, method, b]) => `(${a}).${method}(${b})`),
    tie('expression').map(a => `(${a})[::-1]`),
    tie('expression').map(a => `f(${a})`),
  ),
  block: fc.oneof(
    {maxDepth: 4, depthSize: 'small'},
    tie('expression').map(a => `{{ ${a} }}`),
    tie('expression').map(a => `{% set x = ${a} %}`),
    tie('expression').map(a => `{% set ns.x = ${a} %}`),
    fc.tuple(tie('expression'), tie('blocks')).map(([a, b]) => `{% for i in ${a} %}${b}{% endfor %}`),
    fc.tuple(tie('expression'), tie('blocks')).map(([a, b]) => `{% if ${a} %}${b}{% endif %}`),
    tie('blocks').map(b => `{% macro f(n) %}${b}{% endmacro %}`),
    tie('blocks').map(b => `{% for i in range(50000) %}${b}{% endfor %}`),
  ),
  blocks: fc.array(tie('block'), {minLength: 1, maxLength: 6}).map(all => all.join('')),
}));

const messages = [
  {role: 'system', content: 'Be brief.'},
  {role: 'user', content: 'Why?\n'.repeat(100)},
  {role: 'assistant', content: '<think>a</think>b'},
  {role: 'user', content: '<|im_end|>'},
];

/** Chat templates: damaged ones, and whole ones of strangers. */
export const templateReader: Reader = {
  name: 'chat template',
  whole: templates.map(template => utf8.encode(template)),
  inputs: fc.oneof(
    damagedBytes(templates.map(template => utf8.encode(template))),
    programs.map(program => utf8.encode(`{% set ns = namespace(x='ab') %}${program}`)),
  ),
  extraBytes: () => 128 * 2 ** 20, // values of two million characters and entries
  maxMs: 4000, // a template may loop as long as its limits allow
  read: bytes =>
    Promise.resolve().then(() =>
      renderChat({chatTemplate: new TextDecoder().decode(bytes), tokenizer}, messages.slice(1), {
        date_string: 'today',
      }),
    ),
};

/** Saved chats: damaged, also with a checksum that was made anew. */
export async function savedChatReader(): Promise<Reader> {
  await tf.setBackend('cpu');
  const chatTemplate = '{% for m in messages %}[{{ m.role[0] }}]{{ m.content }}|{% endfor %}';
  const model: TextModel = {model: tinyModel(), tokenizer, chatTemplate};
  const talk = chat(model, {plan: 'quantized:bits=8', tokens: 4});
  for (const text of ['Why?', 'How?'])
    for await (const piece of talk.send(text)) expect(piece).not.to.equal('');
  const whole = await talk.save();
  const cache = new Uint8Array(await talk.cache.save());
  const {metadata} = await readSafetensorsHeader(bytesSource(whole));
  const json = metadata.get('chat')!;
  talk.dispose();
  return {
    name: 'saved chat',
    whole: [whole],
    extraBytes: bytes => 8 * bytes.length, // codes become float32 numbers where they are looked at on cpu
    inputs: fc.oneof(
      damagedBytes([whole]),
      damagedJson([json]).map(text => withChecksum(text, cache)),
      damagedBytes([cache]).map(snapshot => withChecksum(json, new Uint8Array(snapshot))),
    ),
    async read(bytes) {
      const before = tf.memory().numTensors;
      try {
        (await Chat.restore(bytes, model)).dispose();
      } finally {
        expect(tf.memory().numTensors, 'tensors').to.equal(before);
      }
    },
  };
}

/** A saved chat whose JSON is what its checksum says. */
function withChecksum(chat: string, snapshot: Uint8Array<ArrayBuffer>): Uint8Array {
  const checksum = crc32(utf8.encode(chat)).toString(16);
  const header = {
    __metadata__: {kind: 'eigenkv chat', version: '1', chat, crc32: checksum},
    cache: {dtype: 'U8', shape: [snapshot.length], data_offsets: [0, snapshot.length]},
  };
  return safetensorsBytes(header, snapshot);
}
