import {cp, mkdir, readFile, readdir, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {gzipSync} from 'node:zlib';
import ts from 'typescript';
import {noChromium} from '../../test/support/chromium.js';
import {run} from './run.js';
import {serveFolder, startVite} from './serve.js';
import {openChromium} from './visit.js';

const packages = ['vite@8', 'esbuild@0.28', 'webpack@5', 'webpack-cli@7'];

/** A built page: where it lies, and what has to happen for it. */
interface Bundle {
  readonly name: string;
  readonly build: (app: string) => Promise<string>;
}

const bin = (app: string, tool: string) => join(app, 'node_modules', tool);

const bundles: readonly Bundle[] = [
  {
    name: 'Vite',
    async build(app) {
      await writeFile(join(app, 'index.html'), page('<script type="module" src="/src/main.ts"></script>'));
      await run(app, process.execPath, [bin(app, 'vite/bin/vite.js'), 'build']);
      return join(app, 'dist');
    },
  },
  {
    name: 'webpack',
    async build(app) {
      const folder = join(app, 'dist-webpack');
      const args = ['--mode', 'production', '--entry', './src/main.js', '--output-path', folder];
      const printed = await run(app, process.execPath, [
        bin(app, 'webpack-cli/bin/cli.js'),
        'build',
        ...args,
      ]);
      const warnings = printed.match(
        /^WARNING in (?!asset size limit|entrypoint size limit|webpack perf).*$/gm,
      );
      if (warnings !== null) throw new Error(`webpack warns:\n${printed}`);
      await writeFile(join(folder, 'index.html'), page('<script defer src="main.js"></script>'));
      return folder;
    },
  },
  {
    name: 'esbuild',
    async build(app) {
      const folder = join(app, 'dist-esbuild');
      const args = ['--bundle', '--minify', '--format=esm', `--outfile=${folder}/main.js`];
      await run(app, process.execPath, [bin(app, 'esbuild/bin/esbuild'), 'src/main.ts', ...args]);
      const wasm = join(app, 'node_modules/@tensorflow/tfjs-backend-wasm/dist');
      for (const file of await readdir(wasm))
        if (file.endsWith('.wasm')) await cp(join(wasm, file), join(folder, file));
      const embedded = join(app, 'node_modules/eigenkv/dist/models/embedded');
      await cp(embedded, join(folder, 'embedded'), {recursive: true});
      await writeFile(join(folder, 'index.html'), page('<script type="module" src="main.js"></script>'));
      return folder;
    },
  },
];

const page = (script: string) =>
  `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">${script}\n`;

/**
 * README's page, with README's packages and each bundler alone: built, and run in Chromium, on a cross-origin-isolated page and on
 * another one; with Vite also as it serves the sources.
 *
 * @param app a folder with the package and what its README says to install beside it.
 */
export async function checkBundlers(app: string, code: string): Promise<void> {
  await run(app, 'npm', ['install', '--no-audit', '--no-fund', '--save-dev', ...packages]);
  await mkdir(join(app, 'src'));
  await writeFile(join(app, 'src/main.ts'), code);
  const options = {target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext};
  await writeFile(join(app, 'src/main.js'), ts.transpileModule(code, {compilerOptions: options}).outputText);
  const browser = await openChromium();
  if (browser === undefined) console.log(`The bundles are built and not visited: ${noChromium}`);
  try {
    for (const {name, build} of bundles) {
      const folder = await build(app);
      const visited: string[] = [];
      for (const isolated of [false, true]) {
        if (browser === undefined) break;
        const server = await serveFolder(folder, isolated);
        visited.push(await browser.visit(server.url, isolated).finally(() => server.close()));
      }
      console.log(`${name}: ${await sizes(folder)}${visited.map(text => `; ${text}`).join('')}.`);
    }
    if (browser === undefined) return;
    for (const isolated of [false, true]) {
      const server = await startVite(app, isolated);
      const text = await browser.visit(server.url, isolated).finally(() => server.close());
      console.log(`Vite's server: ${text}.`);
    }
  } finally {
    await browser?.close();
  }
}

/** What a built page weighs. */
async function sizes(folder: string): Promise<string> {
  let [scripts, gzipped, files] = [0, 0, 0];
  for (const name of await readdir(folder, {recursive: true})) {
    const path = join(folder, name);
    if (!(await stat(path)).isFile()) continue;
    const bytes = await readFile(path);
    if (name.endsWith('.js')) [scripts, gzipped] = [scripts + bytes.length, gzipped + gzipSync(bytes).length];
    else files += bytes.length;
  }
  const kilobytes = (count: number) => `${(count / 1000).toFixed(0)} kB`;
  return `scripts ${kilobytes(scripts)} (${kilobytes(gzipped)} gzipped), other files ${kilobytes(files)}`;
}
