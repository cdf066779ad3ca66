import fc from 'fast-check';

// Property tests draw the same cases in every run, so that results are reproducible. For other cases:
// EIGENKV_SEED=5 npm run test:unit, or EIGENKV_SEED=random; a failure prints its seed.
const {EIGENKV_SEED: wanted = '1'} = process.env;
if (wanted !== 'random') fc.configureGlobal({...fc.readConfigureGlobal(), seed: Number(wanted)});
