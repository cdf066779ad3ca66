import type {ArgsDef} from 'citty';
import {bold, outputWidth, textWidth} from '../../report/terminal.js';
import {hanging, wrapped} from '../../report/wrap.js';

/** The help of a command: what it does, its arguments and options, and examples, in lines that fit the output. */
export function usageText(
  {name, description}: {readonly name: string; readonly description: string},
  args: ArgsDef,
  examples: readonly string[],
): string {
  const width = outputWidth();
  const positionals = Object.entries(args).flatMap(([key, {type, required}]) =>
    type === 'positional' ? [required === false ? `[${key.toUpperCase()}]` : key.toUpperCase()] : [],
  );
  return [
    ...wrapped(`${description}.`, width),
    '',
    ...wrapped(['Usage: eigenkv', name, ...positionals, '[options]'].join(' '), width),
    '',
    ...entries(
      Object.entries(args).map(([key, arg]) => [termOf(key, arg), descriptionOf(arg)]),
      width,
    ),
    '',
    bold('Examples'),
    ...examples.flatMap(example => commandLines(example, width)),
  ].join('\n');
}

/** Longer terms have their text below them, not beside them. */
const widestTerm = 18;

/** Terms and what is said of them, in two columns. */
export function entries(terms: readonly (readonly [string, string])[], width: number): string[] {
  const widest = Math.max(...terms.map(([term]) => textWidth(term)));
  const indent = Math.min(widest, widestTerm, Math.floor(width / 3)) + 4;
  return terms.flatMap(([term, text]) => hanging(`  ${term}`, text, {width, indent}));
}

function termOf(key: string, {type, valueHint = 'TEXT'}: ArgsDef[string]): string {
  if (type === 'positional') return key.toUpperCase();
  return type === 'boolean' ? `--${key}` : `--${key} ${valueHint}`;
}

function descriptionOf({description = '', default: fallback}: ArgsDef[string]): string {
  return typeof fallback === 'string' ? `${description}. Default: ${fallback}` : description;
}

/** A command line, broken as a shell takes it: before its options, and before a word where an option has no room. */
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

/** A space that no quotes are around. */
const outsideQuotes = / (?=(?:[^"]*"[^"]*")*[^"]*$)/;
