/**
 * `npm run test:package`: packs the package, installs it into an empty project beside gpt-tfjs and tfjs, and follows the drop-in
 * guide to the letter, from every kind of module that TypeScript and Node know; and the README's page for browsers, with its packages alone,
 * built by Vite, webpack and esbuild and run in Chromium. Needs the npm registry; some minutes.
 */
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {checkExamples} from './examples.js';
import {checkNanoGpt} from './nanogpt.js';
import {checkNotebook} from './notebook.js';
import {makeProject, makePageProject} from './project.js';
import {checkBundlers} from './bundlers.js';
import {guideOf} from './guide.js';
import {checkCommonJs, checkTypeScript} from './modules.js';
import {checkTypes} from './types.js';

const keep = process.argv.includes('--keep');
const folder = await mkdtemp(join(tmpdir(), 'eigenkv-package-'));
const pageFolder = await mkdtemp(join(tmpdir(), 'eigenkv-page-')); // neither is inside the other, since its packages would be found
try {
  const packed = await makeProject(folder);
  const guide = await guideOf('docs/guides/drop_in.md', 'gpt-tfjs');
  for (const resolution of ['node16', 'bundler', 'node10'] as const)
    await checkTypeScript(folder, guide, resolution);
  await checkTypes(folder);
  await checkCommonJs(folder, guide);
  await checkNotebook(folder, guide);
  await checkExamples(folder);
  await checkNanoGpt(folder, await guideOf('docs/guides/drop_in.md', 'NanoGptAttention'));
  await makePageProject(pageFolder, packed);
  await checkBundlers(pageFolder);
  console.log('The installed package works.');
} finally {
  if (keep) console.log(`Left: ${folder}, ${pageFolder}`);
  else await Promise.all([folder, pageFolder].map(path => rm(path, {recursive: true, force: true})));
}
