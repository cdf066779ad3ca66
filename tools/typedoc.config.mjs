import {OptionDefaults} from 'typedoc';

/** `npm run docs:api`: the reference of everything that the package exports, into reports/api. */
export default {
  name: 'eigenkv',
  entryPoints: [
    '../src/index.ts',
    '../layers/index.ts',
    '../cache/index.ts',
    '../models/index.ts',
    '../src/evaluate/index.ts',
    '../src/report/charts.ts',
  ],
  tsconfig: '../tsconfig.build.json',
  out: '../reports/api',
  readme: '../README.md',
  projectDocuments: ['../docs/guides/*.md'],
  includeVersion: true,
  excludePrivate: true,
  disableSources: true, // links would need a public repository
  blockTags: [...OptionDefaults.blockTags, '@nocollapse'],
  excludeTags: [...OptionDefaults.excludeTags, '@nocollapse'], // for compilers that rename statics
  // options are inferred from what checks them; names are lists
  intentionallyNotExported: ['schema', 'scenarios', 'weightKinds', 'Environment'],
  treatWarningsAsErrors: true,
};
