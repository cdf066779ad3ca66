// Runs mocha with one process per core: its own default leaves one core out, and .mocharc.json can only hold a number.
import {availableParallelism} from 'node:os';

process.argv.push('--parallel', '--jobs', String(availableParallelism()));
await import('../node_modules/mocha/bin/mocha.js');
