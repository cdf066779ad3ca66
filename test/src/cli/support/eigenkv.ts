import {type ChildProcess, spawn} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {builtFile} from '../../../support/built_package.js';

export const root = fileURLToPath(new URL('../../../..', import.meta.url));

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Surroundings {
  /** Added to those of this process, whose colours and width are taken out. */
  readonly env?: Readonly<Record<string, string>>;
  /** What comes in by stdin, which then ends. Default: nothing, and it stays open. */
  readonly input?: string;
  /** Called at each piece of output with all that came so far. */
  readonly onOutput?: (child: ChildProcess, stdout: string, stderr: string) => void;
}

/** The command line as its users run it: a process of its own on the built package, its output piped. */
export function eigenkv(...args: string[]): Promise<Result> {
  return eigenkvIn({}, ...args);
}

export async function eigenkvIn(surroundings: Surroundings, ...args: string[]): Promise<Result> {
  return nodeIn(surroundings, await builtFile('src/cli/main.js'), ...args);
}

/** Node in the root of the project. Ends when the process does, whenever that is. */
export function nodeIn({env = {}, input, onOutput}: Surroundings, ...args: string[]): Promise<Result> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: {...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, COLUMNS: undefined, ...env},
  });
  if (input !== undefined) child.stdin.end(input);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
    onOutput?.(child, stdout, stderr);
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
    onOutput?.(child, stdout, stderr);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', code => resolve({code, stdout, stderr}));
  });
}
