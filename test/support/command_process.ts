import {type ChildProcess, fork} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import {builtUrl} from './built_package.js';

export interface CommandResult {
  readonly code: number;
  /** Everything on stdout and stderr. */
  readonly printed: string;
}

/** A process that runs command lines of the built package one after the other. Loading the package takes longer than most commands. */
export class CommandProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts the process. It reads TypeScript modules for `--import`, as Node 22.18 does. */
  static async start(): Promise<CommandProcess> {
    const main = await builtUrl('src/cli/run.js');
    const program = fileURLToPath(new URL('command_child.mjs', import.meta.url));
    const child = fork(program, [main], {execArgv: ['--import', 'tsx']});
    await once(child, 'message');
    return new CommandProcess(child);
  }

  /** Runs `eigenkv ARGS` in the folder. */
  async run(folder: string, args: readonly string[]): Promise<CommandResult> {
    const waiting = new AbortController();
    const {signal} = waiting;
    try {
      const answer = once(this.#child, 'message', {signal}) as Promise<[CommandResult]>;
      const end = once(this.#child, 'exit', {signal}).then(([code]) => {
        throw new Error(`eigenkv ${args.join(' ')} ended its process with code ${String(code)}.`);
      });
      this.#child.send({folder, args});
      return (await Promise.race([answer, end]))[0];
    } finally {
      waiting.abort();
    }
  }

  end(): void {
    this.#child.disconnect();
  }
}
