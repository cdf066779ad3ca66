import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {OptionDefaults, type TypeDocOptions} from 'typedoc';
import {root} from '../markdown_pages.js';

/** The pages of the site in their order, by the heading in the navigation. The README is the front page. */
export const sitePages: Readonly<Record<string, readonly string[]>> = {
  Guides: [
    ...[
      'concepts',
      'choosing_a_plan',
      'chat',
      'tasks',
      'drop_in',
      'keras',
      'browser',
      'adapters',
      'writing_a_policy',
      'writing_a_codec',
      'formats',
    ].map(name => `docs/guides/${name}.md`),
  ],
  Results: ['RESULTS', 'PERFORMANCE', 'PEERS', 'RELIABILITY'].map(name => `docs/${name}.md`),
  Manual: [
    ...['COMMAND_LINE', 'MONITOR', 'SNAPSHOTS', 'EIGEN_ATTENTION', 'PLAYGROUND', 'BACKENDS'].map(
      name => `docs/${name}.md`,
    ),
    ...['threads', 'tensorflow', 'webgpu'].map(name => `docs/backends/${name}.md`),
  ],
  Project: ['docs/DECISIONS.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'],
};

/** The doors of the package, by the name that people import: `eigenkv/layers` is `layers/index.ts`. */
export async function doors(): Promise<Readonly<Record<string, string>>> {
  const {name, exports} = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    name: string;
    exports: Record<string, string | {types: string}>;
  };
  const typed = Object.entries(exports).flatMap(([path, door]) =>
    typeof door === 'string' ? [] : [[path.replace('.', name), door.types] as const],
  );
  return Object.fromEntries(
    typed.map(([path, types]) => [path, types.replace('./dist/', '').replace('.d.ts', '.ts')]),
  );
}

export async function siteOptions(out: string): Promise<TypeDocOptions> {
  const fromRoot = (path: string) => join(root, path);
  return {
    name: 'eigenkv',
    entryPoints: Object.values(await doors()).map(fromRoot),
    tsconfig: fromRoot('tsconfig.build.json'),
    ...{out, cleanOutputDir: true, readme: fromRoot('README.md')},
    projectDocuments: Object.values(sitePages).flat().map(fromRoot),
    ...{customCss: fromRoot('tools/site/site.css'), favicon: fromRoot('tools/site/favicon.svg')},
    ...{
      includeVersion: true,
      excludePrivate: true,
      disableSources: true,
      hideGenerator: true,
      disableGit: true,
    },
    ...{searchInDocuments: true, includeHierarchySummary: false},
    sort: ['documents-first', 'kind', 'alphabetical-ignoring-documents'],
    sortEntryPoints: false,
    groupOrder: [...Object.keys(sitePages), 'Modules', '*'],
    navigation: {includeGroups: true, includeCategories: false, includeFolders: false},
    ...{lightHighlightTheme: 'github-light-default', darkHighlightTheme: 'github-dark-default'},
    blockTags: [...OptionDefaults.blockTags, '@nocollapse'],
    excludeTags: [...OptionDefaults.excludeTags, '@nocollapse'], // for compilers that rename statics
    validation: {notExported: false, notDocumented: false, invalidLink: true, invalidPath: true},
  };
}
