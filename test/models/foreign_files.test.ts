import {expect} from 'chai';
import {copyFile, mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {brotliCompressSync, gzipSync} from 'node:zlib';
import {loadModel} from '../../models/load.js';
import {openTensorPath} from '../../base/files/open_tensor_file.js';
import {FormatError} from '../../base/errors.js';
import {parseJsonText} from '../../base/files/json_text.js';
import {ggufBytes, safetensorsBytes} from '../base/files/file_bytes.js';
import {rejection} from '../base/files/rejection.js';

const text = (content: string) => Buffer.from(content, 'latin1');
const pointer =
  'version https://git-lfs.github.com/spec/v1\noid sha256:4665a5ea423c2713d436b5ee50593a9640e0018c1550b5a0002f74190d6caea8\nsize 135\n';

/** What is found in the place of files, and what is said of it. */
const foreign: Record<string, [content: Buffer, message: RegExp]> = {
  'a pointer of git-lfs': [text(pointer), /is a git-lfs pointer, not the file itself: run "git lfs pull"/],
  'what gzip makes': [gzipSync('{"a": 1}'), /is compressed \(gzip\): decompress it/],
  'what zstd makes': [text('\x28\xb5\x2f\xfd\x24\x08A'), /is compressed \(zstd\)/],
  'what xz makes': [text('\xfd7zXZ\0\0\x04'), /is compressed \(xz\)/],
  'what bzip2 makes': [text('BZh91AY&SY'), /is compressed \(bzip2\)/],
  'a checkpoint of PyTorch': [
    text('PK\x03\x04\0\0\x08\x08'),
    /is a zip archive, such as a PyTorch checkpoint/,
  ],
  'an older one': [text('\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P'), /is a pickle of Python/],
  'a file of Keras': [text('\x89HDF\r\n\x1a\n'), /is an HDF5 file/],
  'a file from before GGUF': [text('tjgg\x03\0\0\0'), /is a GGML file from before GGUF/],
  'a page of login': [text('<!DOCTYPE html>\n<html lang="en">'), /is a web page, not the file/],
  'a page with a mark and spaces before it': [text('\xef\xbb\xbf\n  <HTML>'), /is a web page/],
  'the refusal of a store of objects': [text('<?xml version="1.0"?><Error/>'), /is an XML text/],
  nothing: [Buffer.alloc(0), /is empty: download or copy it again/],
};

describe('a file that is another', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-foreign-'));
  });
  after(() => rm(folder, {recursive: true}));

  for (const [what, [content, message]] of Object.entries(foreign)) {
    it(`such as ${what} is named`, async () => {
      for (const name of ['model.gguf', 'model.safetensors', 'weights', 'model.safetensors.index.json']) {
        const path = join(folder, name);
        await writeFile(path, content);
        const error = await rejection(openTensorPath(path), FormatError, message);
        expect(error.message).to.include(path);
        await rm(path);
      }
      await rejection(loadModel(new File([Uint8Array.from(content)], 'chosen.gguf')), FormatError, message);
      const model = join(folder, 'model');
      await mkdir(model, {recursive: true});
      await writeFile(join(model, 'model.safetensors'), safetensorsBytes({}));
      for (const [name, other] of [
        ['config.json', 'tokenizer.json'],
        ['tokenizer.json', 'config.json'],
      ] as const) {
        await writeFile(join(model, name), content);
        await writeFile(join(model, other), '{}');
        expect((await rejection(loadModel(model), FormatError, message)).message).to.include(name);
      }
    });
  }

  it('is none where safetensors begin alike', async () => {
    // the length of this header reads as the beginning of what gzip makes: 0x8b1f
    const header = `{${' '.repeat(0x8b1f - 2)}}`;
    const path = join(folder, 'header.safetensors');
    await writeFile(path, safetensorsBytes(header));
    await copyFile(path, join(folder, 'header.gguf')); // whatever it is called
    for (const name of ['header.safetensors', 'header.gguf']) {
      const file = await openTensorPath(join(folder, name));
      expect([file.format, file.tensors.size]).to.deep.equal(['safetensors', 0]);
      await file.close();
    }
  });

  it('is JSON with a mark at its start', () => {
    expect(parseJsonText(Buffer.from('\ufeff{"a": 1}'), 'x')).to.deep.equal({a: 1});
  });

  it('that shows nothing is said to be damaged', async () => {
    const path = join(folder, 'brotli');
    await writeFile(path, brotliCompressSync('{"a": 1}'.repeat(9)));
    await rejection(openTensorPath(path), FormatError, /is not a whole safetensors file/);
    const index = join(folder, 'x.safetensors.index.json');
    await writeFile(index, brotliCompressSync('{"a": 1}'.repeat(9)));
    await rejection(openTensorPath(index), FormatError, /no text in UTF-8: it is compressed, damaged/);
    await rejection(
      loadModel(new File(['no model'], 'chosen.gguf')),
      FormatError,
      /does not begin with "GGUF"/,
    );
  });
});

describe('a type of tensor', () => {
  const opening = (type: number) =>
    loadModel(
      new File(
        [
          Buffer.from(
            ggufBytes({tensors: [{name: 'a', axes: [256], type, offset: 0}], data: new Uint8Array(1024)}),
          ),
        ],
        'test.gguf',
      ),
    );

  const removed = {4: 'Q4_2', 5: 'Q4_3', 31: 'Q4_0_4_4', 32: 'Q4_0_4_8', 33: 'Q4_0_8_8', 36: 'IQ4_NL_4_4'};
  for (const [type, name] of Object.entries(removed)) {
    it(`that ggml removed is named: ${name}`, async () => {
      await rejection(
        opening(Number(type)),
        FormatError,
        new RegExp(`"a" of test.gguf is stored as ${name} \\(type ${type}\\), which ggml has removed.*Q8_0`),
      );
    });
  }

  it('that is newer is named', async () => {
    await rejection(
      opening(99),
      FormatError,
      /"a" of test.gguf has the type 99, which eigenkv does not know.*Q8_0/,
    );
  });
});
