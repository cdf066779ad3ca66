import {pathToFileURL} from 'node:url';
import {useBackend} from '../../ops/backends/use_backend.js';

// Runs the modules that it is given, one after the other, and sends what each printed. In a process of its own: what they import is a
// second copy of the package, whose layers would take the places of the first one's among tfjs' classes.

/** What a module printed, or why it did not run. */
export interface ExampleResult {
  readonly file: string;
  readonly printed: string;
  readonly error?: string;
}

async function run(file: string): Promise<ExampleResult> {
  let printed = '';
  process.stdout.write = (chunk: string | Uint8Array) => {
    printed += String(chunk);
    return true;
  };
  console.log = (...values: unknown[]) => void (printed += `${values.map(String).join(' ')}\n`);
  try {
    await import(pathToFileURL(file).href);
    return {file, printed};
  } catch (error) {
    return {file, printed, error: error instanceof Error ? (error.stack ?? error.message) : String(error)};
  }
}

await useBackend('wasm');
for (const file of process.argv.slice(2)) process.send?.(await run(file));
process.disconnect();
