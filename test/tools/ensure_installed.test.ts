import {spawn} from 'node:child_process';
import {chmod, copyFile, mkdir, mkdtemp, rm, utimes, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {delimiter, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {skip} from '../support/skip.js';

/** Stands for npm: installs what the real one writes last, or fails. */
const npm = `#!/usr/bin/env node
import {mkdirSync, writeFileSync} from 'node:fs';
console.log('npm ' + process.argv.slice(2).join(' '));
if (process.env.FAILS) process.exit(7);
mkdirSync('node_modules', {recursive: true});
writeFileSync('node_modules/.package-lock.json', '{}');
`;

describe('what npm start and npm test install', () => {
  let root: string;
  before(async function () {
    if (process.platform === 'win32') skip(this, 'npm is stood in for by an executable script.');
    root = await mkdtemp(join(tmpdir(), 'eigenkv-installed-'));
    for (const folder of ['tools', 'bin']) await mkdir(join(root, folder));
    const script = fileURLToPath(new URL('../../tools/ensure_installed.mjs', import.meta.url));
    await copyFile(script, join(root, 'tools/ensure_installed.mjs'));
    await writeFile(join(root, 'bin/npm'), npm);
    await writeFile(join(root, 'bin/package.json'), '{"type": "module"}');
    await chmod(join(root, 'bin/npm'), 0o755);
    const packages = {
      '': {name: 'root'},
      'node_modules/a': {},
      'node_modules/b': {os: [process.platform], cpu: [process.arch]},
      'node_modules/b/node_modules/c': {os: ['!aix']},
      'node_modules/elsewhere': {os: ['aix']},
      'node_modules/not_here': {os: [`!${process.platform}`]},
      'node_modules/other_cpu': {cpu: ['mips']},
    };
    await writeFile(join(root, 'package-lock.json'), JSON.stringify({packages}));
  });
  after(() => rm(root, {recursive: true, force: true}));

  const run = (env: Readonly<Record<string, string>> = {}) => {
    const path = `${join(root, 'bin')}${delimiter}${process.env['PATH'] ?? ''}`;
    const child = spawn(process.execPath, [join(root, 'tools/ensure_installed.mjs')], {
      env: {...process.env, NODE_OPTIONS: '', ...env, PATH: path},
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data: Buffer) => (output += data.toString()));
    return new Promise<{code: number | null; output: string}>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', code => resolve({code, output}));
    });
  };

  it('is said before it is done: how many packages of this system, how large, where; a failure without a stack', async () => {
    const failed = await run({FAILS: '1'});
    expect(failed.code).to.equal(7);
    expect(failed.output).to.match(/^Installing 3 packages, about 50 MB, into .*node_modules \(npm ci\)/);
    expect(failed.output).to.match(/npm ci --no-audit.*\nnpm ci failed with code 7\. .*try again\.\n$/);
    const {code, output} = await run();
    expect(code).to.equal(0);
    expect(output).to.match(/^Installing 3 packages.*\nnpm ci .*\nInstalled in \d+ s\.\n$/);
  });

  it('is quiet where all is there, and comes again where the lock file is newer', async () => {
    expect(await run()).to.deep.equal({code: 0, output: ''});
    const later = new Date(Date.now() + 10_000);
    await utimes(join(root, 'package-lock.json'), later, later);
    expect((await run()).output).to.match(/^Installing 3 packages/);
  });
});
