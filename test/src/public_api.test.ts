import {expect} from 'chai';
import {PublicDeclarations, doorsOfPackage} from '../support/public_declarations.js';

/** Each name here is a promise. One more is a decision: most belong into a sub-path or into `eigenkv/extend`. */
const names = {
  load: ['useBackend', 'threadCount', 'loadModel', 'loadKerasModel', 'saveModel', 'embeddedText'],
  generate: ['generate', 'chat', 'Chat'],
  caches: [
    ...['KVCache', 'PrefixCache', 'SourceCache', 'attachCache', 'byteStore', 'fileStore', 'uniformShapes'],
    ...['compressPrompt', 'kvzip'],
  ],
  policies: [
    ...['policy', 'full', 'quantized', 'float8', 'onlineSvd', 'h2o'],
    ...['lru', 'lfu', 'layered', 'mixed', 'sliding', 'adaptive', 'transform'],
  ],
  plans: ['asPlan', 'uniform', 'perDepth', 'bands', 'budget', 'scenario'],
  layers: ['attention', 'cachedAttention', 'eigenAttention', 'flashAttention'],
  evaluate: ['evaluate', 'monitor', 'analyzeRanks', 'certify', 'epochCallback', 'evaluateTasks', 'tune'],
  compress: ['calibrate', 'compress', 'fineTune', 'transformProfile', 'calibrationDrift', 'useProfile'],
  errors: [
    ...['EigenkvError', 'InvalidArgumentError', 'BackendError', 'CacheStateError'],
    ...['ContextLengthError', 'FormatError', 'ModelError', 'TransferError'],
  ],
};

describe('the public API', () => {
  let doors: ReadonlyMap<string, string>;
  let declarations: PublicDeclarations;
  const exportsOf = (door: string) => declarations.exportsOf(doors.get(door)!);

  before(async () => {
    doors = await doorsOfPackage();
    declarations = PublicDeclarations.compile([...doors.values()]);
  });

  it('of the root has these values and no others', () => {
    expect([...declarations.valuesOf(doors.get('eigenkv')!).keys()].sort()).to.deep.equal(
      Object.values(names).flat().sort(),
    );
  });

  it('mentions no type of valibot', () => {
    for (const door of doors.keys()) {
      const mentions = declarations.mentionsOf(exportsOf(door));
      // a door that exports all that it mentions itself
      if (door !== 'eigenkv/linalg') expect(mentions.length, door).to.be.above(0);
      const ofValibot = mentions.filter(({from}) => from === 'valibot').map(({path}) => path.join(' > '));
      expect(ofValibot, door).to.deep.equal([]);
    }
  });

  it('exports every type that it mentions, from one of its doors', () => {
    const known = new Set([...doors.keys()].flatMap(door => [...exportsOf(door).values()]));
    for (const door of doors.keys()) {
      const missing = declarations
        .mentionsOf(exportsOf(door), {followsValues: false})
        .filter(({symbol, isType}) => isType && !known.has(symbol))
        .map(({path}) => path.join(' > '));
      expect(missing, door).to.deep.equal([]);
    }
  });

  it('exports the types that the functions of the root take and return from the root', () => {
    const root = doors.get('eigenkv')!;
    const known = new Set(declarations.exportsOf(root).values());
    const missing = declarations
      .mentionsOf(declarations.valuesOf(root), {followsValues: false})
      .filter(({symbol, isType, path}) => isType && path.length === 2 && !known.has(symbol))
      .map(({path}) => path.join(' > '));
    expect(missing).to.deep.equal([]);
  });
});
