import {expect} from 'chai';
import fc from 'fast-check';
import {type Settings, backends, defaults} from '../../web/state/settings.js';
import {policyChoices} from '../../web/state/policy_choices.js';
import {readHash, writeHash} from '../../web/state/url_hash.js';

describe('the settings in a link', () => {
  it('are none where all is as by default', () => {
    expect(writeHash(defaults)).to.equal('');
    expect(readHash('')).to.deep.equal({settings: defaults, notes: []});
  });

  it('come back as they were', () => {
    const policy = fc.constantFrom(...policyChoices.map(choice => choice.policy));
    const bands = fc.array(fc.record({depths: fc.integer({min: 1, max: 60}), policy}), {
      minLength: 1,
      maxLength: 8,
    });
    const settings: fc.Arbitrary<Settings> = fc.record({
      prompt: fc.string({minLength: 1, unit: 'grapheme'}).filter(text => text.trim() !== ''),
      bands,
      tokens: fc.integer({min: 1, max: 1000}),
      temperature: fc.integer({min: 0, max: 20}).map(tenths => tenths / 10),
      seed: fc.integer({min: 0, max: 2 ** 32 - 1}),
      backend: fc.constantFrom(...backends),
      live: fc.boolean(),
    });
    fc.assert(
      fc.property(settings, given => {
        expect(readHash(`#${writeHash(given)}`)).to.deep.equal({settings: given, notes: []});
      }),
    );
  });

  for (const [hash, word] of [
    ['temperature=banana', 'temperature'],
    ['temperature=9', '"9" is no number from 0 to 2'],
    ['temperature=-1', 'temperature'],
    ['seed=1.5', 'no whole number'],
    ['tokens=0', 'tokens'],
    ['tokens=1e9', 'tokens'],
    ['backend=cuda', 'wasm, webgpu, webgl'],
    ['live=maybe', 'neither on nor off'],
    ['prompt=', 'empty'],
    ['plan=', 'no band'],
    ['plan=3*quantized;', 'no band'],
    ['plan=0*full', 'no band'],
    ['plan=3*gzip', 'there is no policy "gzip"'],
    ['plan=9999*full', 'more than any model has'],
    ['plan=3*<script>', 'no band'],
    ['colour=red', 'it knows prompt'],
    ['%E0%A4%A', 'it knows prompt'],
  ] as const) {
    it(`says that ${hash} is ignored, and why`, () => {
      const {settings, notes} = readHash(`#${hash}`);
      expect(settings).to.deep.equal(defaults);
      expect(notes).to.have.length(1);
      expect(notes[0]).to.contain('is ignored').and.to.contain(word);
    });
  }

  it('are read around a part that is nonsense', () => {
    const {settings, notes} = readHash('#seed=7&temperature=hot&plan=9*h2o:heavyBudget=8');
    expect(settings).to.include({seed: 7, temperature: defaults.temperature});
    expect(settings.bands).to.deep.equal([{depths: 9, policy: 'h2o:heavyBudget=8'}]);
    expect(notes).to.have.length(1);
  });

  it('never throw, whatever stands there', () => {
    fc.assert(fc.property(fc.string({maxLength: 200}), text => void readHash(text)));
  });
});
