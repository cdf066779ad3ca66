// Compiles ops/assembly to WebAssembly, once with plain and once with relaxed SIMD, and writes both, as base64, into
// ops/assembly/kernels_binary.ts and kernels_relaxed_binary.ts, and what they export into ops/assembly/kernels.ts. All are
// committed: nobody needs the compiler to use the package. `--check` only says whether the committed files are up to date.
import {execFileSync} from 'node:child_process';
import {existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const builds = [
  {
    file: 'kernels_binary.ts',
    about: 'The compiled kernels.',
    name: 'kernelsBinary',
    features: ['simd'],
  },
  {
    file: 'kernels_relaxed_binary.ts',
    about:
      'The compiled kernels for engines with relaxed SIMD, where a multiplication and an addition are one instruction.',
    name: 'relaxedKernelsBinary',
    features: ['simd', 'relaxed-simd'],
  },
];
const made = '// Made by tools/build_kernels.mjs from the sources beside this file; do not edit.';
const folder = mkdtempSync(join(tmpdir(), 'eigenkv-kernels-'));
try {
  for (const build of builds) {
    compile(build);
    write(build.file, binaryText(build));
  }
  write('kernels.ts', typesText(builds[0]));
} finally {
  rmSync(folder, {recursive: true, force: true});
}

function write(file, text) {
  const target = join(root, 'ops/assembly', file);
  if (!process.argv.includes('--check')) {
    writeFileSync(target, text);
  } else if (!existsSync(target) || readFileSync(target, 'utf8') !== text) {
    console.error(`ops/assembly/${file} is older than its sources: run npm run build:kernels`);
    process.exitCode = 1;
  }
}

function compile({name, features}) {
  const wasm = join(folder, `${name}.wasm`);
  // no allocator, no data segment, tfjs' own memory: nothing of ours may overwrite its heap
  const flags =
    '-O3 --noAssert --runtime stub --use abort= --importMemory --noExportMemory --bindings raw'.split(' ');
  // any memory that has a maximum, as a shared one must have; ops/backends/link_kernels.ts asks for a shared one where it is
  flags.push('--initialMemory', '1', '--maximumMemory', '65536');
  for (const feature of features) flags.push('--enable', feature);
  const compiler = join(root, 'node_modules/assemblyscript/bin/asc.js');
  execFileSync(process.execPath, [compiler, join(root, 'ops/assembly/index.ts'), '-o', wasm, ...flags], {
    stdio: 'inherit',
  });
}

function binaryText({about, name}) {
  const lines = readFileSync(join(folder, `${name}.wasm`))
    .toString('base64')
    .match(/.{1,100}/g);
  return `${made}
const base64 = [
${lines.map(line => `  '${line}',`).join('\n')}
].join('');

/** ${about} */
export function ${name}(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), character => character.charCodeAt(0));
}
`;
}

/** The functions that the compiler declares for TypeScript, as an interface. */
function typesText({name}) {
  const declarations = readFileSync(join(folder, `${name}.d.ts`), 'utf8');
  const functions = [...declarations.matchAll(/export function (\w+)(\(.*\): \w+;)/g)];
  return `${made}

/** What the compiled module exports: addresses and counts in, results written to the heap. */
export interface WasmKernels {
${functions.map(([, kernel, signature]) => `  ${kernel}${signature}`).join('\n')}
}
`;
}
