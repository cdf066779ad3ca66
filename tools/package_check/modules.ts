import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import ts from 'typescript';
import {checkOutput} from './guide.js';
import {run} from './run.js';

/** The `module` option for each `moduleResolution`. */
const modules = {node16: 'node16', bundler: 'esnext', node10: 'esnext'} as const;

/** The guide as TypeScript: compiled under `strict`, then run. */
export async function checkTypeScript(
  folder: string,
  guide: string,
  moduleResolution: keyof typeof modules,
): Promise<void> {
  const place = join(folder, moduleResolution);
  await mkdir(place);
  await writeFile(join(place, 'guide.ts'), guide);
  const options = {
    ...{target: 'es2022', module: modules[moduleResolution], moduleResolution},
    ...{strict: true, skipLibCheck: true, lib: ['es2022', 'dom'], types: ['node', 'gpt-tfjs'], outDir: 'out'},
  };
  await writeFile(
    join(place, 'tsconfig.json'),
    JSON.stringify({compilerOptions: options, files: ['guide.ts']}),
  );
  await run(place, process.execPath, [join(folder, 'node_modules/typescript/bin/tsc')]);
  const output = await run(place, process.execPath, ['out/guide.js']);
  console.log(`TypeScript, moduleResolution ${moduleResolution}: ${checkOutput(output)}.`);
}

/** The guide from CommonJS: its imports as dynamic ones. */
export async function checkCommonJs(folder: string, guide: string): Promise<void> {
  const {outputText} = ts.transpileModule(guide, {
    compilerOptions: {target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022},
  });
  const body = outputText
    .replace(/^import \* as (\w+) from '(.+)';$/gm, "const $1 = await import('$2');")
    .replace(/^import (\w+) from '(.+)';$/gm, "const $1 = (await import('$2')).default;")
    .replace(/^import (\{.+\}) from '(.+)';$/gm, "const $1 = await import('$2');");
  if (/^import /m.test(body)) throw new Error(`An import of the guide is of another kind:\n${body}`);
  await writeFile(
    join(folder, 'guide.cjs'),
    `(async () => {\n${body}\n})().catch(error => {\n  console.error(error);\n  process.exitCode = 1;\n});\n`,
  );
  console.log(`CommonJS by import(): ${checkOutput(await run(folder, process.execPath, ['guide.cjs']))}.`);
}
