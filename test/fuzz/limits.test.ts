import {expect} from 'chai';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import {openGguf} from '../../base/files/gguf.js';
import {FormatError} from '../../base/errors.js';
import {bytesSource} from '../../base/files/byte_source.js';
import {parseJsonText} from '../../base/files/json_text.js';
import {openSafetensors} from '../../base/files/safetensors.js';
import {
  concat,
  ggufBytes,
  ggufString,
  ggufTypes,
  keyValue,
  safetensorsBytes,
  u32,
  u64,
} from '../base/files/file_bytes.js';
import {rejection} from '../base/files/rejection.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes that what `open` gives holds beside its input. */
async function retained(open: () => unknown): Promise<number> {
  const held = (): number => {
    collectGarbage();
    const {heapUsed, external} = process.memoryUsage();
    return heapUsed + external;
  };
  await open(); // what is compiled or made once
  const before = held();
  const result = await open();
  const bytes = held() - before;
  expect(result).to.not.equal(undefined); // alive until here
  return bytes;
}

const limitOf = (bytes: number): number => 2 * bytes + 16 * 2 ** 20;
const names = (count: number): string[] => Array.from({length: count}, (_, i) => i.toString(36));

describe('the most that a small file may ask for', () => {
  const emptyTensors = (count: number) =>
    safetensorsBytes(
      Object.fromEntries(names(count).map(name => [name, {dtype: 'U8', shape: [0], data_offsets: [0, 0]}])),
    );

  it('is 65,536 tensors of a safetensors file', async () => {
    const bytes = emptyTensors(65_536);
    expect(await retained(() => openSafetensors(bytesSource(bytes)))).to.be.below(limitOf(bytes.length));
    await rejection(openSafetensors(bytesSource(emptyTensors(65_537))), FormatError, /65536 tensors/);
  });

  const ggufTensors = (count: number) =>
    ggufBytes({tensors: names(count).map(name => ({name, axes: [0], type: 0, offset: 0}))});

  it('is 65,536 tensors of a GGUF file', async () => {
    const bytes = ggufTensors(65_536);
    expect(await retained(() => openGguf(bytesSource(bytes)))).to.be.below(limitOf(bytes.length));
    await rejection(openGguf(bytesSource(ggufTensors(65_537))), FormatError, /65536/);
  });

  const array = (type: number, count: number, items: readonly Uint8Array[]) =>
    ggufBytes({keys: [keyValue('x', ggufTypes.array, concat(u32(type), u64(count), ...items))]});

  it('is a million short texts in the metadata of a GGUF file', async () => {
    const texts = (count: number) => {
      const pair = ggufString('ab');
      const all = new Uint8Array(pair.length * count);
      for (let i = 0; i < count; i++) all.set(pair, i * pair.length);
      return array(ggufTypes.string, count, [all]);
    };
    const bytes = texts(2 ** 20);
    expect(await retained(() => openGguf(bytesSource(bytes)))).to.be.below(limitOf(bytes.length));
    await rejection(openGguf(bytesSource(texts(2 ** 20 + 1))), FormatError, /more than 1048576 in all/);
  });

  it('is a million booleans, or 4,096 arrays in arrays', async () => {
    const bools = (count: number) => array(ggufTypes.bool, count, [new Uint8Array(count)]);
    expect(await retained(() => openGguf(bytesSource(bools(2 ** 20))))).to.be.below(limitOf(2 ** 20));
    await rejection(openGguf(bytesSource(bools(2 ** 20 + 1))), FormatError, /in all/);
    const empty = concat(u32(ggufTypes.uint32), u64(0));
    const arrays = (count: number) =>
      array(
        ggufTypes.array,
        count,
        Array.from({length: count}, () => empty),
      );
    expect(await retained(() => openGguf(bytesSource(arrays(4096))))).to.be.below(limitOf(0));
    await rejection(openGguf(bytesSource(arrays(4097))), FormatError, /in all/);
  });

  it('is sixteen MiB and eight times the length of a JSON text, 64 values deep', async () => {
    const brackets = (length: number) => `[${'[],'.repeat(length / 3)}0]`;
    const text = brackets(600_000);
    expect(await retained(() => parseJsonText(text, 'x'))).to.be.below(16 * 2 ** 20 + 8 * text.length);
    expect(() => parseJsonText(brackets(6_000_000), 'x')).to.throw(FormatError, /brackets and commas/);
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    parseJsonText(nested(64), 'x');
    expect(() => parseJsonText(nested(65), 'x')).to.throw(FormatError, /deeper than 64/);
    expect(() => parseJsonText(nested(100_000), 'x')).to.throw(FormatError, /deeper than 64/);
  });

  it('counts no brackets in strings', () => {
    const text = `"${'['.repeat(200)}\\"[\\\\"`;
    expect(parseJsonText(`{"a":${text}}`, 'x')).to.deep.equal({a: `${'['.repeat(200)}"[\\`});
    expect(() => parseJsonText('"abc', 'x')).to.throw(FormatError, /x is not JSON/);
    expect(() => parseJsonText('"abc\\', 'x')).to.throw(FormatError, /x is not JSON/);
  });
});
