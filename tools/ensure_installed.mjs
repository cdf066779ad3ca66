// Before `npm start`, `npm test` and `npm run web`: installs what is missing, so that each works alone on a fresh clone, and says
// what before it does. The lock file is honoured (`npm ci`); nothing happens when node_modules is as new as the lock file.
import {spawn} from 'node:child_process';
import {existsSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {clearInterval, setInterval} from 'node:timers';
import {fileURLToPath} from 'node:url';

/** What a package of the lock file takes on the disk, in the mean: `du -sm node_modules` by their number. */
const megabytesPerPackage = 1.45;

const root = fileURLToPath(new URL('..', import.meta.url));
const installed = join(root, 'node_modules/.package-lock.json');
const locked = join(root, 'package-lock.json');
if (!existsSync(installed) || statSync(installed).mtimeMs + 1000 < statSync(locked).mtimeMs) {
  process.exitCode = await install(packagesHere());
}

/** The folders of the packages that npm installs on this system. */
function packagesHere() {
  const {packages} = JSON.parse(readFileSync(locked, 'utf8'));
  const runsHere = (/** @type {string[] | undefined} */ allowed, /** @type {string} */ here) =>
    allowed === undefined ||
    (allowed.some(name => !name.startsWith('!')) ? allowed.includes(here) : !allowed.includes(`!${here}`));
  return Object.entries(packages).flatMap(([folder, {os, cpu}]) =>
    folder !== '' && runsHere(os, process.platform) && runsHere(cpu, process.arch) ? [folder] : [],
  );
}

/** Runs `npm ci`; gives its exit code. */
async function install(/** @type {string[]} */ folders) {
  const megabytes = Math.ceil((folders.length * megabytesPerPackage) / 50) * 50;
  console.log(
    `Installing ${folders.length} packages, about ${megabytes} MB, into ${join(root, 'node_modules')} (npm ci): TensorFlow.js and its ` +
      'backends, and the tools that build, test and draw. Nothing is installed elsewhere; this is done once.',
  );
  const start = Date.now();
  const seconds = () => Math.round((Date.now() - start) / 1000);
  const stopProgress = showProgress(folders, seconds);
  const code = await npmCi().finally(stopProgress);
  console.log(
    code === 0
      ? `Installed in ${seconds()} s.`
      : `npm ci failed with code ${code}. See what it says above; with a connection to the package registry, try again.`,
  );
  return code;
}

function npmCi() {
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error', '--progress=false'];
  // npm is a batch file on Windows, which only a shell runs
  const child = spawn('npm', args, {cwd: root, stdio: 'inherit', shell: process.platform === 'win32'});
  return new Promise(resolve => {
    child.on('error', ({message}) => {
      console.error(`npm cannot be started: ${message}.`);
      resolve(1);
    });
    child.on('close', code => resolve(code ?? 1));
  });
}

/** Says how many packages are there: once a second on a terminal, in one line, elsewhere every ten. */
function showProgress(/** @type {string[]} */ folders, /** @type {() => number} */ seconds) {
  const {isTTY} = process.stdout;
  const timer = setInterval(
    () => {
      const there = folders.filter(folder => existsSync(join(root, folder, 'package.json'))).length;
      const text = `${there} of ${folders.length} packages, ${seconds()} s`;
      process.stdout.write(isTTY ? `\r\u001b[K${text}` : `${text}\n`);
    },
    isTTY ? 1000 : 10_000,
  );
  return () => {
    clearInterval(timer);
    if (isTTY) process.stdout.write('\r\u001b[K');
  };
}
