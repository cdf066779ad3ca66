/**
 * `npm run site`: builds the website into reports/site, as files for any static host: the guides, pages and API reference by TypeDoc,
 * with charts of bench/history above their tables, and the playground by Vite. It fails if a link inside the site leads nowhere.
 *
 * `-- --url https://...` says where it will be published (canonical addresses and a sitemap).
 */
import {cp} from 'node:fs/promises';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {Application} from 'typedoc';
import {build} from 'vite';
import {root} from '../markdown_pages.js';
import {chartsByTable} from './charts.js';
import {brokenLinks} from './links.js';
import {siteOptions} from './options.js';
import {pagesPlugin} from './pages_plugin.js';

const {values: options} = parseArgs({options: {url: {type: 'string'}}});
const out = join(root, 'reports/site');

const app = await Application.bootstrapWithPlugins({
  ...(await siteOptions(out)),
  ...(options.url !== undefined && {hostedBaseUrl: options.url}),
  plugin: [pagesPlugin(await chartsByTable())],
});
const project = await app.convert();
if (project === undefined) throw new Error('TypeDoc could not read the sources; see above.');
app.validate(project);
await app.generateOutputs(project);
if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error('TypeDoc warned; see above.');

await build({configFile: join(root, 'web/vite.config.ts'), logLevel: 'warn'});
await cp(join(root, 'web/dist'), join(out, 'playground'), {recursive: true});
const broken = await brokenLinks(out);
for (const link of broken) console.error(link);
if (broken.length > 0) throw new Error(`${broken.length} links of the site lead nowhere; see above.`);
console.log(`The site is in ${out}.`);
