import {bold, outputWidth, textWidth} from '../../report/terminal.js';
import {hanging, wrapped} from '../../report/wrap.js';
import {type Argument, type ArgumentDefinitions, type HelpSection, nameOf} from './arguments.js';

/** Returns the help of a command: its description, arguments, options and examples, wrapped to the output. */
export function usageText({
  name,
  description,
  args,
  examples,
}: {
  readonly name: string;
  readonly description: string;
  readonly args: ArgumentDefinitions;
  readonly examples: readonly string[];
}): string {
  const width = outputWidth();
  const shown = Object.entries(args).flatMap(([key, argument]) => {
    if (argument.isRequired === true) return [termOf(key, argument)];
    return argument.kind === 'word' ? [`[${termOf(key, argument)}]`] : [];
  });
  return [
    ...wrapped(`${description}.`, width),
    '',
    ...wrapped(['Usage: eigenkv', name, ...shown, '[options]'].join(' '), width),
    '',
    ...entries(
      Object.entries(args).map(([key, argument]) => [termOf(key, argument), descriptionOf(argument)]),
      width,
    ),
    ...Object.values(args).flatMap(({parts = []}) => parts.flatMap(part => sectionLines(part, width))),
    '',
    bold('Examples'),
    ...examples.flatMap(example => commandLines(example, width)),
  ].join('\n');
}

function sectionLines({heading, terms}: HelpSection, width: number): string[] {
  return ['', ...wrapped(heading, width).map(bold), ...entries(terms(), width)];
}

/** Descriptions of longer terms are put below them. */
const widestTerm = 18;

/** Terms and their descriptions, in two columns. */
export function entries(terms: readonly (readonly [string, string])[], width: number): string[] {
  const widest = Math.max(...terms.map(([term]) => textWidth(term)));
  const indent = Math.min(widest, widestTerm, Math.floor(width / 3)) + 4;
  return terms.flatMap(([term, text]) => hanging(`  ${term}`, text, {width, indent}));
}

function termOf(key: string, argument: Argument<unknown>): string {
  return `${nameOf(key, argument)} ${argument.hint}`.trimEnd();
}

function descriptionOf({description, fallback}: Argument<unknown>): string {
  return fallback === undefined ? description : `${description}. Default: ${fallback}`;
}

/** A command line wrapped as a shell accepts it: before options, and between words if an option is too long. */
function commandLines(example: string, width: number): string[] {
  const lines: string[] = [];
  const room = width - textWidth(' \\');
  const parts = example.split(/ (?=--)/);
  for (const part of parts.flatMap(part =>
    textWidth(part) + 6 > room ? part.split(outsideQuotes) : [part],
  )) {
    const last = lines.at(-1);
    if (last === undefined) lines.push(`  ${part}`);
    else if (textWidth(`${last} ${part}`) <= room) lines[lines.length - 1] = `${last} ${part}`;
    else lines.push(`      ${part}`);
  }
  return lines.map((line, i) => (i < lines.length - 1 ? `${line} \\` : line));
}

/** A space outside quotes of either kind. */
const outsideQuotes = / (?=(?:[^"']*(?:"[^"]*"|'[^']*'))*[^"']*$)/;
