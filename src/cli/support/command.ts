import {
  type ArgumentDefinitions,
  type ArgumentValues,
  flag,
  givenArguments,
  readArguments,
  texts,
} from './arguments.js';
import {usageText} from './usage.js';

/** A command of the command line, whatever its options are. */
export interface Command {
  /** What --help shows. */
  usage(): string;
  /** @throws UsageError for a command line that cannot be run; whatever the command throws. */
  run(argv: readonly string[]): Promise<void>;
}

/** What a command is called, what it does in one line, its options, and command lines that show their use. */
export interface Definition<Definitions extends ArgumentDefinitions> {
  readonly name: string;
  readonly description: string;
  readonly args: Definitions;
  readonly examples: readonly string[];
  run(args: ArgumentValues<Definitions> & ArgumentValues<typeof commonArgs>): Promise<void>;
}

/** Every command has these. */
const commonArgs = {
  json: flag('Print JSON'),
  import: texts(
    'An ES module that registers policies or adapters of yours, imported first. It must import the same copy of eigenkv as this command',
    'FILE',
  ),
  verbose: flag('Show stack traces of errors'),
};

export function command<const Definitions extends ArgumentDefinitions>(
  definition: Definition<Definitions>,
): Command {
  const args = {...definition.args, ...commonArgs};
  return {
    usage: () => usageText({...definition, args}),
    async run(argv) {
      const given = givenArguments(definition.name, args, argv);
      const [own, common] = [readArguments(definition.args, given), readArguments(commonArgs, given)];
      // loaded only if needed, for it needs TensorFlow.js
      if (common.import.length > 0) await (await import('./import_files.js')).importFiles(common.import);
      await definition.run({...own, ...common});
    },
  };
}
