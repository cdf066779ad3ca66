import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {chatGguf} from '../../test/support/chat_gguf.js';
import {importedPackages, markdownExamples} from '../markdown_examples.js';
import {pages} from '../markdown_pages.js';
import {isThere, run} from './run.js';

/** Every example of the pages whose packages are in the project, each as a reader pastes and runs it. */
export async function checkExamples(folder: string): Promise<void> {
  const place = join(folder, 'examples');
  await mkdir(place);
  await run(folder, 'npm', ['install', '--no-audit', '--no-fund', 'tsx@4']);
  const counts = {run: 0, left: 0};
  for (const {name, text} of await pages()) {
    for (const {language, code, line, elsewhere} of markdownExamples(text)) {
      if (elsewhere) continue;
      const file = `${name.replace(/\W+/g, '_')}_${line}.${language === 'ts' ? 'mts' : 'mjs'}`;
      const resolve = importedPackages(code).map(from => `import.meta.resolve('${from}');`);
      const ready = await isThere(process.execPath, ['--input-type=module', '-e', resolve.join('')], place);
      counts[ready ? 'run' : 'left']++;
      if (!ready) continue;
      const model = /loadModel\('([\w.-]+\.gguf)'/.exec(code)?.[1]; // that readers have; the embedded one stands for it
      if (model !== undefined) await writeFile(join(place, model), await chatGguf());
      await writeFile(join(place, file), code);
      await run(place, process.execPath, ['--import', 'tsx', file]);
    }
  }
  console.log(
    `Examples of the pages: ${counts.run} run; ${counts.left} need a backend that is not installed.`,
  );
}
