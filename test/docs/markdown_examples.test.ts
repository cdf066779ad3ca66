import {expect} from 'chai';
import {markdownExamples} from '../../tools/markdown_examples.js';
import {differenceOfPrint} from './printed.js';

describe('markdownExamples', () => {
  const page = [
    '# A',
    '```ts',
    'a;',
    '```',
    'Then:',
    '```ts',
    '// continues the block above',
    'b;',
    '```',
    '',
    '```text',
    '1 b',
    '```',
    '```sh',
    'ls',
    '```',
    '- A list',
    '',
    '  ```js',
    '  if (c) {',
    '    d;',
    '  }',
    '  ```',
    '',
    'Some words.',
    '```text',
    'not printed',
    '```',
  ];

  it('finds code blocks, their continuations and their printed output', () => {
    expect(markdownExamples(page.join('\n'))).to.deep.equal([
      {language: 'ts', code: 'a;\n', line: 3},
      {language: 'ts', code: 'a;\n// continues the block above\nb;\n', line: 7, printed: '1 b\n'},
      {language: 'js', code: 'if (c) {\n  d;\n}\n', line: 20},
    ]);
  });

  it('tells what Node alone cannot run', () => {
    for (const place of ['in a browser', 'with a Redis server']) {
      const code = `// ${place}\ndocument.title;\n`;
      expect(markdownExamples(`\`\`\`ts\n${code}\`\`\``)).to.deep.equal([
        {language: 'ts', code, line: 2, elsewhere: true},
      ]);
    }
  });

  it('refuses words after the language, which no reader sees', () => {
    expect(() => markdownExamples('```ts sketch\na;\n```')).to.throw('Line 2: a block of "ts sketch"');
    expect(() => markdownExamples('```typescript\na;\n```')).to.throw('say `ts` or `js`');
  });

  it('refuses a continuation without a block above it', () => {
    expect(() => markdownExamples(page.slice(5).join('\n'))).to.throw(
      'Line 2: there is no block of ts above',
    );
  });
});

describe('differenceOfPrint', () => {
  const shown = {code: '', printed: 'Once upon [...] end.\n1,000 tokens: 5.2x smaller (4 bits)\n'};

  it('accepts any words for [...], and numbers within the tolerance', () => {
    const printed = 'Once upon a time 7 dwarfs end.\n1,010 tokens: 4.9x smaller (4 bits)';
    expect(differenceOfPrint(shown, printed)).to.equal(undefined);
  });

  it('reports different words and different numbers', () => {
    expect(
      differenceOfPrint(shown, 'Twice upon a time end.\n1,000 tokens: 5.2x smaller (4 bits)'),
    ).to.include('and not');
    expect(differenceOfPrint(shown, 'Once upon a time end.\n1,000 tokens: 4.1x smaller (4 bits)')).to.equal(
      'printed 4.1 where the page says 5.2',
    );
    expect(differenceOfPrint({code: 'f(); // prints 12'}, '13')).to.include('printed no "12"');
  });
});
