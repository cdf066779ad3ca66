import {spawn, spawnSync} from 'node:child_process';
import {builtFile} from '../../../support/built_package.js';
import {root} from './eigenkv.js';

/** Whether there is util-linux' `script`, which runs a command on a terminal of its own. */
export function hasTerminals(): boolean {
  const {error, stdout} = spawnSync('script', ['--version'], {encoding: 'utf8'});
  return error === undefined && stdout.includes('util-linux');
}

export interface Session {
  readonly code: number | null;
  /** What the terminal got, of stdout and stderr, with its escapes. */
  readonly output: string;
}

export interface SessionOptions {
  readonly columns?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Called with all that came so far; what it returns is typed. */
  readonly type?: (output: string) => string | undefined;
}

/** The command line on a terminal. */
export async function onTerminal(
  {columns = 80, env = {}, type}: SessionOptions,
  ...args: string[]
): Promise<Session> {
  const words = [process.execPath, await builtFile('src/cli/main.js'), ...args].map(word => `'${word}'`);
  const line = `stty cols ${columns} && exec ${words.join(' ')}`;
  const child = spawn('script', ['-qefc', line, '/dev/null'], {
    cwd: root,
    env: {
      ...process.env,
      NO_COLOR: undefined,
      FORCE_COLOR: undefined,
      COLUMNS: undefined,
      TERM: 'xterm',
      ...env,
    },
  });
  let output = '';
  child.stdout.on('data', (data: Buffer) => {
    output += data.toString();
    const typed = type?.(output);
    if (typed !== undefined) child.stdin.write(typed);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', code => resolve({code, output: output.replaceAll('\r\n', '\n')}));
  });
}
