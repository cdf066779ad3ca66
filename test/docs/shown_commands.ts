import {pages} from '../../tools/markdown_pages.js';

/** A command line of a page. */
export interface ShownCommand {
  readonly page: string;
  readonly line: string;
  /** `README.md: npm run web` */
  readonly place: string;
  /** As a shell splits the line, without its comment and without the variables that are set before the command. */
  readonly words: readonly string[];
  /** Whether it is in a block, not in a sentence. */
  readonly inBlock: boolean;
}

/** Fenced blocks, indented lines, and code within sentences. */
const shownCode =
  /^ *```(?<language>\w*)\n(?<block>[^]*?)^ *```$|^(?: {4}|\t)(?<line>.+)$|`(?<span>[^`\n]+)`/gm;

/** The first words of command lines. */
const commands =
  /^(?:npm|npx|eigenkv|node|tsx|sh|bash|git|cp|curl|wget|pip3?|python3?|apt-get|brew|\S*\/python3?|tools\/\S+)$/;

/** The command lines of all pages. A line that ends in a backslash continues. */
export async function shownCommands(): Promise<ShownCommand[]> {
  return (await pages()).flatMap(({name: page, text}) =>
    [...text.replaceAll(/\\\n\s*/g, '').matchAll(shownCode)]
      .map(({groups}) => groups as Partial<Record<string, string>>)
      .filter(({language = ''}) => ['', 'sh'].includes(language))
      .flatMap(({line, block, span}) =>
        (line ?? block ?? span ?? '').split('\n').map(shown => ({shown, inBlock: span === undefined})),
      )
      .flatMap(({shown, inBlock}) => shown.split(/ && |, or /).map(line => ({line: line.trim(), inBlock})))
      .map(({line, inBlock}) => ({page, line, place: `${page}: ${line}`, words: wordsOf(line), inBlock}))
      .filter(({words: [first = '']}) => commands.test(first)),
  );
}

function wordsOf(line: string): string[] {
  const words = line.match(/#.*|"[^"]*"|'[^']*'|\S+/g) ?? [];
  const comment = words.findIndex(word => word.startsWith('#'));
  return words
    .slice(0, comment < 0 ? undefined : comment)
    .map(word => word.replace(/^(["'])(.*)\1$/, '$2'))
    .filter((_, i, all) => !all.slice(0, i + 1).every(before => /^[A-Z_]+=/.test(before)));
}

/** The words after `eigenkv`, up to a redirection; undefined for other commands. */
export function argumentsOf({words}: ShownCommand): readonly string[] | undefined {
  const at = words[0] === 'npx' ? 1 : 0;
  if (words[at] !== 'eigenkv') return undefined;
  const redirection = words.indexOf('>');
  return words.slice(at + 1, redirection < 0 ? undefined : redirection);
}
