import {mkdir, rename, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from './run.js';

const doors = [
  'eigenkv',
  'eigenkv/layers',
  'eigenkv/cache',
  'eigenkv/models',
  'eigenkv/evaluate',
  'eigenkv/extend',
  'eigenkv/linalg',
  'eigenkv/charts',
];

/**
 * Compiles every door of the package without `skipLibCheck`. tfjs' own declarations do not pass `strict` and want the types of
 * browsers and of Node, so there it is what is said of the package's files that counts.
 */
export async function checkTypes(folder: string): Promise<void> {
  const place = join(folder, 'types');
  await mkdir(place);
  const imports = doors.map((door, i) => `import * as door${i} from '${door}';\n`);
  await writeFile(
    join(place, 'doors.ts'),
    `${imports.join('')}export const doors = [${doors.map((_, i) => `door${i}`).join(', ')}];\n`,
  );
  const nodeTypes = join(folder, 'node_modules/@types/node');
  for (const [module, moduleResolution] of [
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ] as const) {
    const compiler = {module, moduleResolution, target: 'es2022', noEmit: true};
    const both = {lib: ['es2022', 'dom']};
    const errors = await compile(folder, {...compiler, ...both});
    if (errors.length > 0) throw new Error(`The declarations do not compile:\n${errors.join('\n')}`);
    await expectOursClean(folder, {...compiler, ...both, strict: true});
    await expectOursClean(folder, {...compiler, strict: true, lib: ['es2022'], types: ['node']});
    await rename(nodeTypes, `${nodeTypes}-aside`);
    await expectOursClean(folder, {...compiler, strict: true, lib: ['es2022', 'dom'], types: []});
    await rename(`${nodeTypes}-aside`, nodeTypes);
  }
  console.log(`Declarations of ${doors.length} doors compile without skipLibCheck: node16, bundler.`);
}

async function expectOursClean(folder: string, options: object): Promise<void> {
  const ours = (await compile(folder, options)).filter(error => error.startsWith('../node_modules/eigenkv/'));
  if (ours.length > 0) throw new Error(`With ${JSON.stringify(options)}:\n${ours.join('\n')}`);
}

/** The compiler's errors, a line each. */
async function compile(folder: string, compilerOptions: object): Promise<string[]> {
  const place = join(folder, 'types');
  await writeFile(join(place, 'tsconfig.json'), JSON.stringify({compilerOptions, files: ['doors.ts']}));
  const printed = await run(place, process.execPath, [
    ...[join(folder, 'node_modules/typescript/bin/tsc'), '--pretty', 'false'],
  ]).then(
    () => '',
    (error: unknown) => (error as Error).message,
  );
  const errors = printed.split('\n').filter(line => /: error TS/.test(line));
  if (printed !== '' && errors.length === 0) throw new Error(printed);
  return errors;
}
