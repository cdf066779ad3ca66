import {rmSync} from 'node:fs';
import {cp, mkdir, mkdtemp, readdir, symlink} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {build} from 'esbuild';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The folders that `tsconfig.build.json` compiles. */
const floors = ['base', 'ops', 'cache', 'layers', 'models', 'src'];

/** What ops/assembly has for JavaScript; the rest of it is AssemblyScript. */
const binaries = /^ops\/assembly\/kernels\w*_binary\.ts$/;

let built: Promise<string> | undefined;

/**
 * A folder whose programs find this package as `eigenkv`, with its doors (`exports`) and its command as npm installs them, and all packages of this
 * checkout. The sources are compiled as `npm run build` does, without types: a process starts in a third of the time that it takes with tsx.
 * Built once per process, and removed when that ends.
 */
export function projectWithPackage(): Promise<string> {
  built ??= buildProject();
  return built;
}

/** A compiled file there, such as `src/cli/main.js`, which is the command `eigenkv`. */
export async function builtFile(name: string): Promise<string> {
  return join(await projectWithPackage(), 'node_modules/eigenkv/dist', name);
}

/** The same as an address, for imports. */
export async function builtUrl(name: string): Promise<string> {
  return pathToFileURL(await builtFile(name)).href;
}

async function buildProject(): Promise<string> {
  const caches = join(root, 'node_modules/.cache');
  await mkdir(caches, {recursive: true});
  const project = await mkdtemp(join(caches, 'eigenkv-test-'));
  process.on('exit', () => rmSync(project, {recursive: true, force: true}));
  const dist = join(project, 'node_modules/eigenkv/dist');
  await build({
    entryPoints: (await Promise.all(floors.map(sourcesOf))).flat(),
    absWorkingDir: root,
    outbase: root,
    outdir: dist,
    format: 'esm',
    platform: 'node',
    target: 'node20',
  });
  await cp(join(root, 'package.json'), join(dist, '../package.json'));
  await symlink(join(root, 'models/embedded'), join(dist, 'models/embedded'), 'junction');
  return project;
}

async function sourcesOf(floor: string): Promise<string[]> {
  const names = await readdir(join(root, floor), {recursive: true});
  return names
    .map(name => `${floor}/${name.replaceAll('\\', '/')}`)
    .filter(name => /(?<!\.d)\.ts$/.test(name) && (!name.startsWith('ops/assembly/') || binaries.test(name)));
}
