import {EigenkvError, InvalidArgumentError, didYouMean} from '../../base/errors.js';
import type {Command} from './support/command.js';
import {print, printNote} from './support/print.js';
import {outputWidth} from '../report/terminal.js';
import {entries} from './support/usage.js';
import {UsageError, exitCodes} from './support/usage_error.js';
import {wrapped} from '../report/wrap.js';

interface ListedCommand {
  readonly summary: string;
  /** Imports the command when it runs, because TensorFlow.js takes a second to load and some commands do not need it. */
  readonly load: () => Promise<Command>;
}

/** A command is one file in this folder and one entry in this list. */
const commands: Readonly<Record<string, ListedCommand>> = {
  calibrate: {
    summary: 'Measure the attention of a model over texts, before it is compressed',
    load: async () => (await import('./calibrate.js')).calibrateCommand,
  },
  chat: {
    summary: 'Talk with a model over one compressed cache',
    load: async () => (await import('./chat.js')).chatCommand,
  },
  compress: {
    summary: 'Merge low-rank bases into the attention of a model',
    load: async () => (await import('./compress.js')).compressCommand,
  },
  demo: {
    summary: 'Measure plans on the model that comes with eigenkv, and let it write',
    load: async () => (await import('./demo.js')).demo,
  },
  eval: {
    summary: 'Measure plans on a text: perplexity, divergence, bytes, speed',
    load: async () => (await import('./eval.js')).evalCommand,
  },
  generate: {
    summary: 'Continue a prompt through a compressed cache',
    load: async () => (await import('./generate.js')).generateCommand,
  },
  inspect: {
    summary: 'Show the contents of a model and the size of its cache',
    load: async () => (await import('./inspect.js')).inspect,
  },
  memory: {
    summary: 'Compute the size of the cache of any Transformer',
    load: async () => (await import('./memory.js')).memory,
  },
  monitor: {
    summary: 'Measure what a plan does at each depth: bytes, ranks, entropies, errors',
    load: async () => (await import('./monitor.js')).monitorCommand,
  },
  tune: {
    summary: 'Find the bits of the transform codec for a size or a loss',
    load: async () => (await import('./tune.js')).tuneCommand,
  },
};

/** Runs a command line (without `node` and the script) and returns its exit code. It never throws. */
export async function run(argv: readonly string[]): Promise<number> {
  // a closed pipe is not a failure: a reader such as `head` has read enough
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.failed);
    });
  }
  try {
    return await dispatch(argv);
  } catch (error) {
    return failure(error, argv.includes('--verbose'));
  }
}

async function dispatch([name, ...rest]: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const [topic] = rest;
    print(name === 'help' && topic !== undefined ? (await find(topic)).usage() : overview());
    return name === undefined ? exitCodes.usage : exitCodes.ok;
  }
  if (name === '--version' || name === '-v') {
    const {environmentText, ownVersion} = await import('./support/versions.js');
    print(rest.includes('--verbose') ? await environmentText() : await ownVersion());
    return exitCodes.ok;
  }
  const command = await find(name);
  if (asksForHelp(rest)) print(command.usage());
  else await command.run(rest);
  return exitCodes.ok;
}

function find(name: string): Promise<Command> {
  const names = Object.keys(commands);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command !== undefined) return command.load();
  throw new UsageError(
    name.startsWith('-')
      ? `The command comes first: eigenkv ${names.join('|')} [options].`
      : `There is no command "${name}"; there are ${names.join(', ')}.${didYouMean(name, names)}`,
  );
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? undefined : end).some(arg => arg === '--help' || arg === '-h');
}

function overview(): string {
  const width = outputWidth();
  return [
    ...wrapped('eigenkv: KV-cache compression for TensorFlow.js Transformers', width),
    '',
    'Usage: eigenkv COMMAND [options]',
    '',
    ...entries(
      Object.entries(commands).map(([name, {summary}]) => [name, summary]),
      width,
    ),
    '',
    ...wrapped('eigenkv COMMAND --help shows its options and examples.', width),
    ...wrapped('eigenkv --version --verbose shows the versions of what it runs on, and its threads.', width),
    ...wrapped('Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted.', width),
  ].join('\n');
}

function failure(error: unknown, verbose: boolean): number {
  if (error instanceof Error && error.name === 'AbortError') {
    printNote('Interrupted.');
    return exitCodes.interrupted;
  }
  if (verbose) process.stderr.write(`${stackOf(error)}\n`);
  else printNote(messageOf(error));
  const usage = error instanceof InvalidArgumentError || error instanceof UsageError;
  return usage ? exitCodes.usage : exitCodes.failed;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof EigenkvError
    ? error.message
    : `${error.name}: ${error.message} (--verbose shows where.)`;
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return [error.stack, causeOf(error)].filter(Boolean).join('\n');
}

function causeOf({cause}: Error): string | undefined {
  return cause instanceof Error ? `Caused by ${cause.stack ?? cause.message}` : undefined;
}
