// Compiles ops/assembly to WebAssembly and writes it, as base64, into ops/assembly/kernels_binary.ts, which is committed:
// nobody needs the compiler to use the package. `--check` only says whether the committed file is up to date.
import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const target = join(root, 'ops/assembly/kernels_binary.ts');
const folder = mkdtempSync(join(tmpdir(), 'eigenkv-kernels-'));
try {
  const wasm = join(folder, 'kernels.wasm');
  // no allocator, no data segment, tfjs' own memory: nothing of ours may overwrite its heap
  const flags =
    '-O3 --noAssert --runtime stub --use abort= --importMemory --noExportMemory --enable simd'.split(' ');
  const compiler = join(root, 'node_modules/assemblyscript/bin/asc.js');
  execFileSync(process.execPath, [compiler, join(root, 'ops/assembly/index.ts'), '-o', wasm, ...flags], {
    stdio: 'inherit',
  });
  const lines = readFileSync(wasm)
    .toString('base64')
    .match(/.{1,100}/g);
  const text = `// Made by tools/build_kernels.mjs from the sources beside this file; do not edit.
const base64 = [
${lines.map(line => `  '${line}',`).join('\n')}
].join('');

/** The compiled kernels. */
export function kernelsBinary(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), character => character.charCodeAt(0));
}
`;
  if (process.argv.includes('--check')) {
    if (readFileSync(target, 'utf8') !== text) {
      console.error('ops/assembly/kernels_binary.ts is older than its sources: run npm run build:kernels');
      process.exitCode = 1;
    }
  } else {
    writeFileSync(target, text);
  }
} finally {
  rmSync(folder, {recursive: true, force: true});
}
