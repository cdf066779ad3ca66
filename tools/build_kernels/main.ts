// Compiles ops/assembly to WebAssembly, once with plain and once with relaxed SIMD. It writes the first build into
// ops/assembly/kernels_binary.ts, how the second one differs into kernels_relaxed_binary.ts, and what they export into kernels.ts. All are
// committed: nobody needs the compiler to use the package. `--check` only says whether the committed files are up to date.
//
// How bytes become texts is in ops/backends/binary_text.ts.
import {execFileSync} from 'node:child_process';
import {existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {findEdits} from './find_edits.js';
import {rankedBytes, textOfBytes} from './text_of_bytes.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const made = '// Made by tools/build_kernels from the sources beside this file; do not edit.';
const folder = mkdtempSync(join(tmpdir(), 'eigenkv-kernels-'));
try {
  const plain = compile('plain', ['simd']);
  const relaxed = compile('relaxed', ['simd', 'relaxed-simd']);
  const ranked = rankedBytes(plain.binary);
  write(
    'kernels_binary.ts',
    constant('rankedBytes', 'How bytes are written here: see ops/backends/binary_text.ts.', ranked),
    constant('kernels', 'The compiled kernels.', textOfBytes(plain.binary, ranked)),
  );
  write(
    'kernels_relaxed_binary.ts',
    constant(
      'relaxedEdits',
      'What makes the kernels for relaxed SIMD of those.',
      findEdits(plain.binary, relaxed.binary, ranked),
    ),
  );
  write('kernels.ts', typesText(plain.declarations));
} finally {
  rmSync(folder, {recursive: true, force: true});
}

function write(file: string, ...parts: readonly string[]): void {
  const text = [made, '', ...parts].join('\n');
  const target = join(root, 'ops/assembly', file);
  if (!process.argv.includes('--check')) {
    writeFileSync(target, text);
  } else if (!existsSync(target) || readFileSync(target, 'utf8') !== text) {
    console.error(`ops/assembly/${file} is older than its sources: run npm run build:kernels`);
    process.exitCode = 1;
  }
}

function compile(name: string, features: readonly string[]): {binary: Uint8Array; declarations: string} {
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
  return {binary: readFileSync(wasm), declarations: readFileSync(join(folder, `${name}.d.ts`), 'utf8')};
}

/** A module that exports one text, in lines of 100 characters that are joined by their last one. */
function constant(name: string, about: string, text: string): string {
  const lines = text.match(/.{1,100}/g) ?? [];
  return `/** ${about} */
export const ${name} = \`\\
${lines.map(line => `${line}\\\n`).join('')}\`;
`;
}

/** The functions that the compiler declares for TypeScript, as an interface, and which of their arguments is scratch memory. */
function typesText(declarations: string): string {
  const functions = [...declarations.matchAll(/export function (\w+)(\(.*\): \w+;)/g)];
  const scratch = functions.flatMap(([, kernel, signature]) => {
    const index = signature!.split(',').findIndex(argument => /\bscratch:/.test(argument));
    return index < 0 ? [] : [`  ${kernel}: ${index},`];
  });
  return `/** What the compiled module exports: addresses and counts in, results written to the heap. */
export interface WasmKernels {
${functions.map(([, kernel, signature]) => `  ${kernel}${signature}`).join('\n')}
}

/** Which argument of a kernel is the address of its scratch memory. */
export const scratchArguments: {readonly [Kernel in keyof WasmKernels]?: number} = {
${scratch.join('\n')}
};
`;
}
