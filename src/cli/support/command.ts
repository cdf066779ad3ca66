import {
  type ArgumentDefinitions,
  type ArgumentValues,
  flag,
  givenArguments,
  readArguments,
  texts,
} from './arguments.js';
import {usageText} from './usage.js';

/** A command of the command line. */
export interface Command {
  /** Returns the text of --help. */
  usage(): string;
  /** @throws UsageError if the command line is wrong; whatever the command throws. */
  run(argv: readonly string[]): Promise<void>;
}

/** The definition of a command: its name, a line that says what it does, its options, and examples. */
export interface Definition<Definitions extends ArgumentDefinitions> {
  readonly name: string;
  readonly description: string;
  readonly args: Definitions;
  readonly examples: readonly string[];
  run(args: ArgumentValues<Definitions> & ArgumentValues<typeof commonArgs>): Promise<void>;
}

/** Options of every command. */
const commonArgs = {
  json: flag('Print JSON'),
  import: texts(
    'An ES module that registers your policies or adapters, imported first. It must import the same copy of eigenkv as this command',
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
      // loaded only if needed, because it imports TensorFlow.js
      if (common.import.length > 0) await (await import('./import_files.js')).importFiles(common.import);
      await definition.run({...own, ...common});
    },
  };
}
