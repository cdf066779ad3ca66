import {mkdir, readFile, readdir, rm, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {gzipSync} from 'node:zlib';
import ts from 'typescript';
import {noChromium} from '../../test/support/chromium.js';
import {guideOf} from './guide.js';
import {run} from './run.js';
import {type Served, serveFolder, startVite} from './serve.js';
import {type Visits, openChromium} from './visit.js';

const tools = ['vite@8', 'esbuild@0.28', 'webpack@5', 'webpack-cli@7'];

/** How the guide says that a bundler is used. */
interface Bundler {
  readonly name: string;
  /** Lines of a shell, which write into dist/. */
  readonly build: string;
  /** The page's line for the script. */
  readonly script: string;
}

/** The rows of the guide's table of bundlers, and the lines below it for esbuild. */
function bundlersOf(guide: string): Bundler[] {
  return ['Vite', 'webpack', 'esbuild'].map(name => {
    const row = new RegExp(`^\\| ${name}\\b.*$`, 'm').exec(guide)?.[0] ?? '';
    const script = /`(<script [^`]+)`/.exec(row)?.[1];
    const build = /`(npx [^`]+)`/.exec(row)?.[1] ?? /^```\n(npx esbuild [^]+?)^```$/m.exec(guide)?.[1];
    if (script === undefined || build === undefined)
      throw new Error(`docs/guides/browser.md does not say how ${name} is used.`);
    return {name, build, script};
  });
}

/**
 * README's page, with README's packages and each bundler alone: built by the guide's lines, and run in Chromium, on a
 * cross-origin-isolated page and on another one; with Vite also as it serves the sources.
 *
 * @param app a folder with the package and what its README says to install beside it.
 */
export async function checkBundlers(app: string): Promise<void> {
  await run(app, 'npm', ['install', '--no-audit', '--no-fund', '--save-dev', ...tools]);
  const code = await guideOf('README.md', 'document.body');
  await mkdir(join(app, 'src'));
  await writeFile(join(app, 'src/main.ts'), code);
  const options = {target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext};
  await writeFile(join(app, 'src/main.mjs'), ts.transpileModule(code, {compilerOptions: options}).outputText);
  const browser = await openChromium();
  if (browser === undefined) console.log(`README's page is built and not visited: ${noChromium}`);
  try {
    for (const bundler of bundlersOf(
      await readFile(new URL('../../docs/guides/browser.md', import.meta.url), 'utf8'),
    )) {
      const folder = await build(app, bundler);
      const visit = (isolated: boolean) => visited(browser, () => serveFolder(folder, isolated), isolated);
      console.log(`${bundler.name}: ${await sizes(folder)}${await visit(false)}${await visit(true)}.`);
      if (bundler.name !== 'Vite') continue;
      const develop = (isolated: boolean) => visited(browser, () => startVite(app, isolated), isolated);
      console.log(`Vite's server${await develop(false)}${await develop(true)}.`);
    }
  } finally {
    await browser?.close();
  }
}

/** Builds into a folder that was not there. */
async function build(app: string, {name, build: lines, script}: Bundler): Promise<string> {
  const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">${script}\n`;
  const folder = join(app, 'dist');
  await rm(folder, {recursive: true, force: true});
  if (name === 'Vite') await writeFile(join(app, 'index.html'), page);
  const printed = await run(app, 'sh', ['-ec', lines]);
  // webpack finds all that computes too large
  const warnings = printed.match(/^WARNING in (?!asset size limit|entrypoint size limit|webpack perf).*$/gm);
  if (warnings !== null) throw new Error(`${name} warns:\n${printed}`);
  if (name !== 'Vite') await writeFile(join(folder, 'index.html'), page);
  return folder;
}

/** What a browser saw there, in words; nothing without a browser. */
async function visited(
  browser: Visits | undefined,
  serve: () => Promise<Served>,
  isolated: boolean,
): Promise<string> {
  if (browser === undefined) return '';
  const server = await serve();
  try {
    return `; ${await browser.visit(server.url, isolated)}`;
  } finally {
    server.close();
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
