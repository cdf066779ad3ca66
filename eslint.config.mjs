import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/** What tfjs 4.22 gets wrong on wasm or webgpu (docs/DECISIONS.md), banned where it could reach a user. */
const brokenInTfjs = [
  {
    selector: "MemberExpression[object.name='tf'][property.name='einsum']",
    message: 'tf.einsum does not exist on wasm.',
  },
  {
    selector: "CallExpression[callee.object.name='tf'][callee.property.name='gather'][arguments.length>3]",
    message: 'tf.gather with batchDims is wrong on wasm: gather flat rows.',
  },
];
const noDataSync = {
  selector: 'MemberExpression[property.name=/^(dataSync|arraySync)$/]',
  message: 'dataSync fails on webgpu: await data().',
};
const noImportOfNode = ['ImportExpression', "ImportDeclaration[importKind!='type']"].map(node => ({
  selector: `${node}[source.value=/^node:/]`,
  message: "Bundlers for browsers follow imports of node: and fail: process.getBuiltinModule('node:...').",
}));
const typedErrors = {
  selector: 'NewExpression[callee.name=/^(Error|TypeError|RangeError|SyntaxError)$/]',
  message: 'Callers tell our errors apart by their class: use one of base/errors.ts.',
};
/** What fails on a machine that does much else. */
const clocksInTests = [
  {
    selector: "CallExpression[callee.property.name='timeout']",
    message: 'One limit for all tests, in .mocharc.json: those of their own are too short on a busy machine.',
  },
  {
    selector: "MemberExpression[object.name='performance'][property.name='now']",
    message: 'Count steps, bytes or tokens, or measure in bench/: on a busy machine everything takes long.',
  },
];

export default tseslint.config(
  {ignores: ['dist', 'web/dist', 'node_modules', 'reports', 'ops/assembly', 'models/embedded', '.venv']},
  eslint.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: {parserOptions: {projectService: true, tsconfigRootDir: import.meta.dirname}},
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off', // indices into typed arrays are proven by their loops
      '@typescript-eslint/restrict-template-expressions': ['error', {allowNumber: true, allowBoolean: true}],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-unused-vars': ['error', {ignoreRestSiblings: true}],
      '@typescript-eslint/unbound-method': 'off',
      'no-restricted-syntax': ['error', ...brokenInTfjs, noDataSync],
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {'no-restricted-syntax': ['error', ...brokenInTfjs, noDataSync, typedErrors]},
  },
  {
    files: [
      'base/**/*.ts',
      'ops/**/*.ts',
      'cache/**/*.ts',
      'layers/**/*.ts',
      'models/**/*.ts',
      'src/index.ts',
      'src/evaluate/**/*.ts',
    ],
    rules: {'no-restricted-syntax': ['error', ...brokenInTfjs, noDataSync, typedErrors, ...noImportOfNode]},
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unused-expressions': 'off', // chai's expect(x).to.be.true
      '@typescript-eslint/no-unsafe-assignment': 'off', // golden JSON
      '@typescript-eslint/no-unsafe-member-access': 'off',
      'no-restricted-syntax': ['error', ...brokenInTfjs],
    },
  },
  {
    files: ['test/**/*.test.ts', 'test/**/*.browser.ts'],
    rules: {'no-restricted-syntax': ['error', ...brokenInTfjs, ...clocksInTests]},
  },
  {
    files: ['**/*.mjs', '**/*.cjs'],
    languageOptions: {
      globals: {
        console: 'readonly',
        process: 'readonly',
        Buffer: 'readonly',
        URL: 'readonly',
        module: 'writable',
        performance: 'readonly',
      },
    },
  },
);
