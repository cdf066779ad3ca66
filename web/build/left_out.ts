import {fileURLToPath} from 'node:url';
import type {Plugin} from 'vite';
import manifest from '../../package.json' with {type: 'json'};

/** Leaves out of the page, which is made of the package's sources, what `browser` of package.json leaves out of bundles of the package. */
export function leftOut(): Plugin {
  const sources = Object.keys(manifest.browser).map(file =>
    fileURLToPath(new URL(`../../${file.replace('dist/', '').replace(/js$/, 'ts')}`, import.meta.url)),
  );
  return {
    name: 'eigenkv-left-out',
    enforce: 'pre',
    load: id => (sources.includes(id) ? '' : null),
  };
}
