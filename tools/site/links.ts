import {existsSync} from 'node:fs';
import {readFile, readdir} from 'node:fs/promises';
import {dirname, join, resolve} from 'node:path';

/** The links of a folder of HTML that lead to no file of it, or to no element of that file. Links to other hosts are not followed. */
export async function brokenLinks(folder: string): Promise<string[]> {
  const files = (await readdir(folder, {recursive: true})).filter(file => file.endsWith('.html'));
  const pages = new Map<string, string>();
  for (const file of files) pages.set(join(folder, file), await readFile(join(folder, file), 'utf8'));
  const broken: string[] = [];
  for (const [file, text] of pages) {
    for (const [, link] of text.matchAll(/\s(?:href|src)="([^"]*)"/g)) {
      if (/^[a-z]+:/i.test(link!)) continue;
      const [path = '', fragment = ''] = decodeURI(link!).split('#');
      const target = path === '' ? file : resolve(dirname(file), path.replace(/\?.*/, ''));
      const targetText = pages.get(target);
      const found =
        targetText === undefined ? existsSync(target) : fragment === '' || hasElement(targetText, fragment);
      if (!found) broken.push(`${file}: ${link!}`);
    }
  }
  return broken;
}

const hasElement = (html: string, id: string): boolean => html.includes(`id="${id}"`);
