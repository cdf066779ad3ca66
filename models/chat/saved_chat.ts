import * as v from 'valibot';
import {crc32} from '../../base/crc32.js';
import {FormatError, InvalidArgumentError, shown} from '../../base/errors.js';
import {bytesSource} from '../../base/files/byte_source.js';
import {parseJsonText} from '../../base/files/json_text.js';
import {readSafetensorsHeader} from '../../base/files/safetensors.js';
import {writeSafetensors} from '../../base/files/write_safetensors.js';
import {KVCache, type KVCacheOptions} from '../../cache/kv_cache.js';
import type {PlanLike} from '../../cache/plans/as_plan.js';
import type {TextModel} from '../loaded_model.js';
import {checkIds} from '../token_ids.js';
import type {HeldIds} from './held_ids.js';
import type {ChatMessage} from './messages.js';

/** A chat as its file holds it. */
export interface SavedChat {
  readonly messages: readonly ChatMessage[];
  readonly held: HeldIds;
  readonly cache: KVCache;
}

const kind = 'eigenkv chat';
const version = '1';
const cacheName = 'cache';

const place = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const message = v.looseObject({role: v.string(), content: v.string()});
const mark = v.strictObject({text: place, ids: place});
const held = v.strictObject({ids: v.array(place), text: v.string(), marks: v.array(mark)});
const description = v.strictObject({messages: v.array(message), held});

/**
 * A chat as the bytes of a safetensors file: one tensor, the snapshot of its cache as bytes, which has a checksum of its own; in the metadata the
 * rest as a JSON text, and the CRC-32 of its UTF-8.
 */
export async function writeChat({messages, held, cache}: SavedChat): Promise<Uint8Array> {
  const chat = JSON.stringify({messages, held});
  const snapshot = await cache.save();
  return writeSafetensors([{name: cacheName, dtype: 'U8', shape: [snapshot.length], data: () => snapshot}], {
    metadata: {kind, version, chat, crc32: checksum(chat)},
  });
}

/**
 * Reads what `writeChat` wrote.
 *
 * @param plan the saved plan, needed only if its policies are not registered by name.
 * @throws FormatError if the bytes are no saved chat, damaged, or of another version; what `KVCache.restore` throws.
 */
export async function readChat(
  bytes: Uint8Array,
  model: TextModel,
  {plan, onWarning}: {readonly plan?: PlanLike | undefined} & Pick<KVCacheOptions, 'onWarning'>,
): Promise<SavedChat> {
  const given: unknown = bytes;
  if (!(given instanceof Uint8Array)) {
    throw new InvalidArgumentError(
      `Chat.restore got ${shown(given)}; expected the bytes of a chat, a Uint8Array, as chat.save() returns.`,
    );
  }
  const {tensors, metadata} = await readSafetensorsHeader(bytesSource(bytes, 'This chat'));
  if (metadata.get('kind') !== kind) {
    throw new FormatError('These bytes are no saved chat; give the result of chat.save().');
  }
  if (metadata.get('version') !== version) {
    throw new FormatError(
      `This chat is of version ${metadata.get('version') ?? '(none)'}; this eigenkv reads version ${version}. Read it with the ` +
        'version that wrote it.',
    );
  }
  const text = metadata.get('chat') ?? '';
  if (checksum(text) !== metadata.get('crc32')) throw damaged('its checksum does not match');
  const parsed = v.safeParse(description, parseJsonText(text, 'The JSON of this chat'));
  if (!parsed.success) throw damaged(`its JSON is wrong at ${v.getDotPath(parsed.issues[0]) ?? 'its root'}`);
  const {messages, held} = parsed.output;
  checkHeld(held, model);
  const {offset = 0, byteLength = 0} = tensors.get(cacheName) ?? {};
  const cache = await KVCache.restore(bytes.subarray(offset, offset + byteLength), model, plan, {onWarning});
  if (cache.tokens === held.ids.length) return {messages, held, cache};
  const {tokens} = cache;
  cache.dispose();
  throw damaged(`its cache holds ${tokens} tokens, but it lists ${held.ids.length}`);
}

const checksum = (text: string) => crc32(new TextEncoder().encode(text)).toString(16);

const damaged = (what: string) => new FormatError(`This chat is damaged: ${what}. Use another copy.`);

function checkHeld({ids, text, marks}: HeldIds, {model}: TextModel): void {
  checkIds(ids, model);
  const ascend = marks.every(
    (one, i) => one.text >= (marks[i - 1]?.text ?? 0) && one.ids >= (marks[i - 1]?.ids ?? 0),
  );
  const {text: end = 0, ids: last = 0} = marks.at(-1) ?? {};
  if (!ascend || end > text.length || last > ids.length) throw damaged('its marks lie outside of its text');
}
