/** The floors of the house: base <- ops <- cache <- layers <- models <- src. Imports go down only. */
const floors = ['base', 'ops', 'cache', 'layers', 'models', 'src'];
const upward = floors.slice(0, -1).map((floor, index) => ({
  name: `${floor}-knows-nothing-above-it`,
  severity: 'error',
  from: {path: `^${floor}/`},
  to: {path: `^(${floors.slice(index + 1).join('|')})/`},
}));

module.exports = {
  forbidden: [
    ...upward,
    {
      name: 'base-knows-no-tensors',
      severity: 'error',
      from: {path: '^base/'},
      to: {path: '(^|node_modules/)@tensorflow/'},
    },
    {
      name: 'no-cycles',
      comment: 'type imports included: what both sides need has a file of its own',
      severity: 'error',
      from: {},
      to: {circular: true},
    },
    {
      name: 'tests-stay-outside',
      severity: 'error',
      from: {path: `^(${floors.join('|')})/`},
      to: {path: '^(test|bench|tools|examples)/'},
    },
    {
      name: 'only-the-command-line-draws',
      comment: 'printing and argv live in src/cli, charts and tables in src/report',
      severity: 'error',
      from: {path: '^(base|ops|cache|layers|models|src/evaluate)/'},
      to: {path: 'node_modules/(cli-progress|string-width|vega|vega-lite)/'},
    },
    {
      name: 'one-file-per-backend-touches-its-internals',
      severity: 'error',
      from: {pathNot: '^(ops/backends|test|bench)/|^web/engine/backends[.]ts$'}, // which only says where .wasm files lie
      to: {path: 'node_modules/@tensorflow/tfjs-backend-'},
    },
    {
      name: 'the-playground-enters-by-the-doors',
      comment: 'what the package exports; and how the command line writes units, so that they read the same',
      severity: 'error',
      from: {path: '^web/'},
      to: {
        path: `^(${floors.join('|')})/`,
        pathNot: '^((src|src/evaluate|cache|layers|models)/index|src/extend|base/units)[.]ts$',
      },
    },
    {
      name: 'the-page-waits-for-no-tensors',
      comment: 'tfjs is loaded by the worker (web/engine) alone',
      severity: 'error',
      from: {path: '^web/', pathNot: '^web/engine/'},
      to: {
        path: '^(src|src/evaluate|cache|layers|models)/index[.]ts$|^src/extend[.]ts$|^web/engine/',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'nobody-knows-the-playground',
      severity: 'error',
      from: {path: `^(${floors.join('|')})/`},
      to: {path: '^web/'},
    },
  ],
  options: {
    doNotFollow: {path: 'node_modules'},
    exclude: {path: '^web/dist/'}, // a built page, whose chunks import each other
    tsPreCompilationDeps: true,
    tsConfig: {fileName: 'tsconfig.json'},
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
