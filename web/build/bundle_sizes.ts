import {readFileSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import {gzipSync} from 'node:zlib';

/** What a built page is made of, bytes. */
export interface BundleSizes {
  /** Scripts and styles of ours with the libraries of the package, but without tfjs; gzipped. */
  readonly own: number;
  /** Scripts of tfjs and its libraries; gzipped. */
  readonly tfjs: number;
  /** Everything else (weights, tokenizer, texts, tfjs' .wasm files), as it is. */
  readonly data: number;
}

/** How chunks of tfjs are called. */
export const tfjsChunk = 'tfjs';

/** Measures the files in a folder of built assets. */
export function bundleSizes(assets: string): BundleSizes {
  const sizes = {own: 0, tfjs: 0, data: 0};
  for (const name of readdirSync(assets)) {
    const bytes = readFileSync(join(assets, name));
    if (!/\.(js|css)$/.test(name)) sizes.data += bytes.length;
    else
      sizes[name.startsWith(`${tfjsChunk}-`) && name.endsWith('.js') ? 'tfjs' : 'own'] +=
        gzipSync(bytes).length;
  }
  return sizes;
}
