/**
 * `npm run test:package`: packs the package, installs it into an empty project beside gpt-tfjs and tfjs, and follows the README's
 * drop-in guide to the letter, from every kind of module that TypeScript and Node know. Needs the npm registry; some minutes.
 */
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {checkExamples} from './examples.js';
import {checkNanoGpt} from './nanogpt.js';
import {checkNotebook} from './notebook.js';
import {makeProject} from './project.js';
import {guideOf} from './guide.js';
import {checkCommonJs, checkTypeScript} from './modules.js';

const keep = process.argv.includes('--keep');
const folder = await mkdtemp(join(tmpdir(), 'eigenkv-package-'));
try {
  await makeProject(folder);
  const guide = await guideOf('README.md', 'gpt-tfjs');
  for (const resolution of ['node16', 'bundler', 'node10'] as const)
    await checkTypeScript(folder, guide, resolution);
  await checkCommonJs(folder, guide);
  await checkNotebook(folder, guide);
  await checkExamples(folder);
  await checkNanoGpt(folder, await guideOf('docs/guides/drop_in.md', 'NanoGptAttention'));
  console.log('The package works where it is installed.');
} finally {
  if (keep) console.log(`Left: ${folder}`);
  else await rm(folder, {recursive: true, force: true});
}
