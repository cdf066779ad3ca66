import {parseArgs, stripVTControlCharacters} from 'node:util';
import {type ArgsDef, type CommandDef, renderUsage, runCommand} from 'citty';
import {didYouMean} from '../../../ops/errors.js';
import {UsageError} from './usage_error.js';

/** A command of the command line, whatever its options are. */
export interface Command {
  /** What --help shows. */
  usage(): Promise<string>;
  /** @throws UsageError for options that it does not have; whatever the command throws. */
  run(rawArgs: readonly string[]): Promise<void>;
}

/** Every command has these. */
export const commonArgs = {
  verbose: {type: 'boolean', description: 'Show stack traces of errors'},
} as const satisfies ArgsDef;

export const jsonArg = {json: {type: 'boolean', description: 'Print JSON'}} as const satisfies ArgsDef;

/** A citty command that refuses unknown options and shows examples in its help. */
export function command<const Args extends ArgsDef>(
  definition: CommandDef<Args> & {readonly args: Args},
  examples: readonly string[],
): Command {
  return {
    async usage() {
      const usage = await renderUsage(definition, {meta: {name: 'eigenkv'}});
      const lines = [usage, 'EXAMPLES', '', ...examples.map(example => `  ${example}`)];
      return plainUnlessTerminal(lines.join('\n').replace(/ +$/gm, ''));
    },
    async run(rawArgs) {
      checkArguments(definition.args, rawArgs);
      await runCommand(definition, {rawArgs: [...rawArgs]});
    },
  };
}

/** citty colours its help even where it goes into a file. */
function plainUnlessTerminal(text: string): string {
  return process.stdout.isTTY ? text : stripVTControlCharacters(text);
}

/** citty takes unknown options in silence; a typing error must not. */
function checkArguments(definitions: ArgsDef, rawArgs: readonly string[]): void {
  const {tokens} = parseArgs({
    args: [...rawArgs],
    options: nodeOptions(definitions),
    allowPositionals: true,
    allowNegative: true,
    strict: false,
    tokens: true,
  });
  let positionals = Object.values(definitions).filter(({type}) => type === 'positional').length;
  for (const token of tokens) {
    if (token.kind === 'positional' && --positionals < 0) {
      throw new UsageError(`"${token.value}" is one argument too many; put text with spaces into quotes.`);
    }
    if (token.kind !== 'option') continue;
    const definition = definitions[token.name];
    if (definition === undefined || definition.type === 'positional') {
      const names = Object.keys(definitions).filter(name => definitions[name]?.type !== 'positional');
      throw new UsageError(
        `There is no option ${token.rawName}; there are ${names.map(name => `--${name}`).join(', ')}.${didYouMean(token.name, names)}`,
      );
    }
    if (definition.type === 'string' && (token.value === undefined || token.value === '')) {
      throw new UsageError(`${token.rawName} needs a value${hint(definition.valueHint)}.`);
    }
    if (definition.type === 'boolean' && token.value !== undefined) {
      throw new UsageError(`${token.rawName} takes no value; leave "${token.value}" out.`);
    }
  }
}

function nodeOptions(definitions: ArgsDef): Record<string, {type: 'string' | 'boolean'}> {
  return Object.fromEntries(
    Object.entries(definitions).flatMap(([name, {type}]) =>
      type === 'string' || type === 'boolean' ? [[name, {type}]] : [],
    ),
  );
}

const hint = (valueHint: string | undefined) => (valueHint === undefined ? '' : `: ${valueHint}`);
