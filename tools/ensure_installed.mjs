// Before `npm start` and `npm test`: installs what is missing, so that each works alone on a fresh clone.
// The lock file is honoured (`npm ci`); nothing happens when node_modules is as new as the lock file.
import {execSync} from 'node:child_process';
import {existsSync, statSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const installed = `${root}node_modules/.package-lock.json`;
const locked = `${root}package-lock.json`;
if (!existsSync(installed) || statSync(installed).mtimeMs + 1000 < statSync(locked).mtimeMs) {
  console.log('Installing dependencies (npm ci) ...');
  execSync('npm ci --no-audit --no-fund --loglevel=error', {cwd: root, stdio: 'inherit'});
}
