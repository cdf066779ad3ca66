/** A piece of code that stands in a page. */
export interface MarkdownExample {
  readonly language: 'ts' | 'js';
  /** What stands behind the language. */
  readonly words: readonly string[];
  /** With its setup before it. */
  readonly code: string;
  /** The line of the page where the code begins, from 1. */
  readonly line: number;
}

const setupOrFence = /^<!-- setup\n(?<setup>[^]*?)^-->$|^```(?<info>[^\n]*)\n(?<code>[^]*?)^```$/gm;

/**
 * The TypeScript and JavaScript of a page. An invisible comment `<!-- setup ... -->` holds lines that belong before the next
 * block, as the names that it takes for granted.
 */
export function markdownExamples(markdown: string): MarkdownExample[] {
  const examples: MarkdownExample[] = [];
  let setup = '';
  for (const match of markdown.matchAll(setupOrFence)) {
    const {info, code = '', ...groups} = match.groups!;
    if (info === undefined) {
      setup = groups['setup']!;
      continue;
    }
    const [language = '', ...words] = info.split(/\s+/);
    const line = markdown.slice(0, match.index).split('\n').length + 1;
    if (language === 'ts' || language === 'js') examples.push({language, words, code: setup + code, line});
    setup = '';
  }
  return examples;
}
