import {parseArgs} from 'node:util';
import {type ArgsDef, type CommandDef, runCommand} from 'citty';
import {didYouMean} from '../../../base/errors.js';
import {everyValue} from './arguments.js';
import {usageText} from './usage.js';
import {UsageError} from './usage_error.js';

/** A command of the command line, whatever its options are. */
export interface Command {
  /** What --help shows. */
  usage(): string;
  /** @throws UsageError for options that it does not have; whatever the command throws. */
  run(rawArgs: readonly string[]): Promise<void>;
}

/** Every command has these. */
export const commonArgs = {
  import: {
    type: 'string',
    description:
      'An ES module that registers policies or adapters of yours, imported first; may be repeated. It must import the copy of ' +
      'eigenkv that this command is of',
    valueHint: 'FILE',
  },
  verbose: {type: 'boolean', description: 'Show stack traces of errors'},
} as const satisfies ArgsDef;

export const jsonArg = {json: {type: 'boolean', description: 'Print JSON'}} as const satisfies ArgsDef;

/** What a command is called, in one line what it does, and its options. */
export interface Definition<Args extends ArgsDef> extends CommandDef<Args> {
  readonly meta: {readonly name: string; readonly description: string};
  readonly args: Args;
}

/** A citty command that refuses unknown options and shows examples in its help. */
export function command<const Args extends ArgsDef>(
  definition: Definition<Args>,
  examples: readonly string[],
): Command {
  return {
    usage: () => usageText(definition.meta, definition.args, examples),
    async run(rawArgs) {
      checkArguments(definition.meta.name, definition.args, rawArgs);
      const files = everyValue(rawArgs, 'import');
      // imported where it is needed, for it needs TensorFlow.js
      if (files.length > 0) await (await import('./import_files.js')).importFiles(files);
      await runCommand(definition, {rawArgs: [...rawArgs]});
    },
  };
}

/** citty takes unknown options in silence; a typing error must not. */
function checkArguments(command: string, definitions: ArgsDef, rawArgs: readonly string[]): void {
  const {tokens} = parseArgs({
    args: [...rawArgs],
    options: nodeOptions(definitions),
    allowPositionals: true,
    allowNegative: true,
    strict: false,
    tokens: true,
  });
  const positionals = Object.entries(definitions).filter(([, {type}]) => type === 'positional');
  const given = tokens.filter(({kind}) => kind === 'positional').length;
  let left = positionals.length;
  for (const token of tokens) {
    if (token.kind === 'positional' && --left < 0) {
      throw new UsageError(`"${token.value}" is one argument too many; put text with spaces into quotes.`);
    }
    if (token.kind !== 'option') continue;
    const definition = definitions[token.name];
    if (definition === undefined || definition.type === 'positional') {
      throw new UsageError(unknownOption(command, token.rawName, definitions));
    }
    if (definition.type === 'string' && (token.value === undefined || token.value === '')) {
      throw new UsageError(`${token.rawName} needs a value${hint(definition.valueHint)}.`);
    }
    if (definition.type === 'boolean' && token.value !== undefined) {
      throw new UsageError(`${token.rawName} takes no value; leave "${token.value}" out.`);
    }
  }
  const [missing] = positionals.slice(given).filter(([, {required}]) => required !== false);
  if (missing !== undefined) {
    const [name, {description = ''}] = missing;
    throw new UsageError(`${name.toUpperCase()} is missing: ${description}.`);
  }
}

function unknownOption(command: string, rawName: string, definitions: ArgsDef): string {
  const names = Object.keys(definitions).filter(name => definitions[name]?.type !== 'positional');
  const given = rawName.replace(/^-+(no-)?/, '');
  // of `--max-tokens`, which is far from it by its letters, `--tokens` is meant
  const part = names.find(name => given.split(/[-_]/).includes(name));
  const near = part === undefined ? didYouMean(given, names) : ` Did you mean "${part}"?`;
  return near === ''
    ? `There is no option ${rawName}; there are ${names.map(name => `--${name}`).join(', ')}.`
    : `There is no option ${rawName}.${near.replace('"', '"--')} (eigenkv ${command} --help shows all.)`;
}

function nodeOptions(definitions: ArgsDef): Record<string, {type: 'string' | 'boolean'}> {
  return Object.fromEntries(
    Object.entries(definitions).flatMap(([name, {type}]) =>
      type === 'string' || type === 'boolean' ? [[name, {type}]] : [],
    ),
  );
}

const hint = (valueHint: string | undefined) => (valueHint === undefined ? '' : `: ${valueHint}`);
