import {pathToFileURL} from 'node:url';

// Runs one module in a process of its own, as a reader runs what was pasted, and sends what it printed.

/** What a module printed, or why it did not run. */
export interface ExampleResult {
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
    return {printed};
  } catch (error) {
    return {printed, error: error instanceof Error ? (error.stack ?? error.message) : String(error)};
  }
}

const [file] = process.argv.slice(2);
if (file !== undefined) process.send?.(await run(file));
process.disconnect();
