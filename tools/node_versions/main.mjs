/**
 * `npm run test:node -- [20 22 24] [--unit]`: the built package on several versions of Node, which npm installs as packages
 * (`node@22`) into a temporary folder. On each: smoke.mjs through the package's own exports, the command line, and with --unit
 * the unit tests. Needs the npm registry and `npm run build`.
 */
import {execFileSync} from 'node:child_process';
import {existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

const given = process.argv.slice(2);
const unit = given.includes('--unit');
const named = given.filter(text => /^\d/.test(text));
const versions = named.length > 0 ? named : ['20', '22', '24'];
const folder = mkdtempSync(join(tmpdir(), 'eigenkv-node-'));
const run = (command, ...args) => {
  try {
    return execFileSync(command, args, {stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8'});
  } catch (error) {
    process.stderr.write(error.stdout ?? '');
    throw error;
  }
};

if (!existsSync('dist/src/index.js')) run('npm', 'run', 'build');
try {
  for (const version of versions) {
    const home = join(folder, version);
    run('npm', 'install', '--no-audit', '--no-fund', '--prefix', home, `node@${version}`);
    const node = join(home, 'node_modules', 'node', 'bin', 'node');
    const exact = run(node, '--version').trim();
    console.log(`${exact}: ${run(node, 'tools/node_versions/smoke.mjs').trim()}`);
    run(
      node,
      'dist/src/cli/main.js',
      'memory',
      '--depths',
      '9',
      '--kv-heads',
      '2',
      '--dim',
      '64',
      '--tokens',
      '4096',
    );
    if (unit) {
      const output = run(node, '--import', 'tsx', 'node_modules/mocha/bin/mocha.js');
      console.log(output.match(/^ *\d+ (passing|pending|failing).*$/gm)?.join('\n') ?? output);
    }
  }
} finally {
  rmSync(folder, {recursive: true, force: true});
}
