import {expect} from 'chai';
import {savedChatReader, templateReader} from './chat_files.js';
import {fuzz} from './harness.js';
import {readers} from './readers.js';
import {snapshotReader} from './snapshot_files.js';

// The short version of `npm run fuzz`. EIGENKV_FUZZ_SEED and EIGENKV_FUZZ_COUNT change what is tried.
const seed = Number(process.env['EIGENKV_FUZZ_SEED'] ?? 20261125);
const count = Number(process.env['EIGENKV_FUZZ_COUNT'] ?? 150);

describe(`files of strangers (seed ${seed})`, () => {
  it('snapshot: reads what is whole; typed errors only, in time and memory, and no tensor left', async () => {
    const tally = await fuzz(await snapshotReader(), count, seed);
    expect(tally.inputs).to.be.at.least(count);
  });

  it('saved chat: the same', async () => {
    const tally = await fuzz(await savedChatReader(), count, seed);
    expect(tally.inputs).to.be.at.least(count);
  });

  for (const reader of [...readers, templateReader]) {
    it(`${reader.name}: reads what is whole`, async () => {
      for (const bytes of reader.whole) await reader.read(bytes);
    });

    it(`${reader.name}: typed errors only, in time and memory`, async () => {
      const tally = await fuzz(reader, count, seed);
      expect(tally.inputs).to.be.at.least(count);
    });
  }
});
