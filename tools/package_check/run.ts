import {execFile} from 'node:child_process';
import {promisify} from 'node:util';

const execute = promisify(execFile);

/**
 * Runs a command in a folder and gives what it printed.
 * @throws Error with its whole output, if it fails.
 */
export async function run(
  folder: string,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  try {
    const options = {cwd: folder, env: {...process.env, ...env}, maxBuffer: 2 ** 26};
    const {stdout} = await execute(command, [...args], options);
    return stdout;
  } catch (error) {
    const {stdout = '', stderr = ''} = error as {stdout?: string; stderr?: string};
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, {cause: error});
  }
}

/** Whether a command is there to be run. */
export async function isThere(
  command: string,
  args: readonly string[] = ['--version'],
  folder?: string,
): Promise<boolean> {
  return execute(command, [...args], {cwd: folder}).then(
    () => true,
    () => false,
  );
}
