import {isBuiltin} from 'node:module';

/** A code block of a page. */
export interface MarkdownExample {
  readonly language: 'ts' | 'js';
  /** With the blocks that it continues before it. */
  readonly code: string;
  /** The line of the page on which the code begins, from 1. */
  readonly line: number;
  /** Its first line says that Node alone cannot run it. */
  readonly elsewhere?: true;
  /** What it prints, if a `text` block follows directly. */
  readonly printed?: string;
}

/** A fenced block, possibly indented in a list. */
const fence = /^(?<indent> *)```(?<language>[^\n]*)\n(?<body>[^]*?)^ *```$/gm;

/** The first line of a block that is no example by itself: readers paste it below the one before. */
export const continues = '// continues the block above';

/** The first line of a block that Node alone cannot run. */
const elsewhereOnly = /^\/\/ (?:in a browser|with a Redis server)\n/;

/**
 * The TypeScript and JavaScript of a page, each piece as it runs when it is pasted.
 * @throws Error if a block continues one that is missing, or has words after its language, which no reader sees.
 */
export function markdownExamples(markdown: string): MarkdownExample[] {
  const examples: MarkdownExample[] = [];
  let end = 0;
  for (const match of markdown.matchAll(fence)) {
    const {indent = '', language = '', body = ''} = match.groups!;
    const line = markdown.slice(0, match.index).split('\n').length + 1;
    const last = examples.at(-1);
    if (/^(?:(?:ts|js)\b.|typescript|javascript)/.test(language))
      throw new Error(`Line ${line}: a block of "${language}"; say \`ts\` or \`js\`, and all else in words.`);
    if (language === 'ts' || language === 'js') {
      const code = body.replaceAll(new RegExp(`^${indent}`, 'gm'), '');
      const isContinued = code.startsWith(`${continues}\n`);
      if (isContinued && last?.language !== language)
        throw new Error(`Line ${line}: there is no block of ${language} above that it could continue.`);
      const whole = isContinued ? last!.code + code : code;
      examples.push({language, code: whole, line, ...(elsewhereOnly.test(whole) && {elsewhere: true})});
    } else if (language === 'text' && last !== undefined && markdown.slice(end, match.index).trim() === '') {
      examples[examples.length - 1] = {...last, printed: body};
    }
    end = match.index + match[0].length;
  }
  return examples;
}

/** The module names in code, each with the text before it. */
export const importOf = /(from |import\(|^import )'([^'.][^']*)'/gm;

/** The packages that code imports, without Node's own: `@tensorflow/tfjs` of `@tensorflow/tfjs/dist/x.js`. */
export function importedPackages(code: string): string[] {
  const names = [...code.matchAll(importOf)].map(([, , from]) => from!).filter(from => !isBuiltin(from));
  return [
    ...new Set(
      names.map(name =>
        name
          .split('/')
          .slice(0, name.startsWith('@') ? 2 : 1)
          .join('/'),
      ),
    ),
  ];
}
