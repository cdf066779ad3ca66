import {expect} from 'chai';
import {importOptional, runsInNode, throwUnlessMissing} from '../../../base/optional_package.js';
import {BackendError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';

const moduleOf = (source: string) => `data:text/javascript,${encodeURIComponent(source)}`;

describe('importOptional', () => {
  it('gives the exports of a package, or undefined if it is not installed', async () => {
    expect(await importOptional('chai'))
      .to.have.property('expect')
      .that.is.a('function');
    expect(await importOptional('eigenkv-has-no-such-package')).to.equal(undefined);
  });

  it('tells a package that fails to load from a missing one', async () => {
    const broken = moduleOf('throw new Error("libtensorflow.so.2 not found.\\nand more")');
    const error = await rejection(importOptional(broken), BackendError);
    expect(error.message).to.equal(
      `${broken} is installed but does not load: libtensorflow.so.2 not found. Install it again, or use another backend.`,
    );
    expect(error.cause).to.be.instanceOf(Error);
  });
});

describe('runsInNode', () => {
  it('knows Node', () => {
    expect(runsInNode()).to.be.true;
  });
});

describe('an import that failed', () => {
  const name = '@some/package';

  for (const [where, error] of [
    ['Node', withCode('ERR_MODULE_NOT_FOUND', `Cannot find package '${name}' imported from /a/b.js`)],
    ['webpack', withCode('MODULE_NOT_FOUND', `Cannot find module '${name}'`)],
    ['Chrome', new TypeError(`Failed to resolve module specifier '${name}'`)],
    [
      'Firefox',
      new TypeError(`The specifier “${name}” was a bare specifier, but was not remapped to anything.`),
    ],
    ['Safari', new TypeError(`Module name, '${name}' does not resolve to a valid URL.`)],
    ['Vite', new Error(`Could not resolve "${name}" imported by "eigenkv". Is it installed?`)],
  ] as const) {
    it(`recognises a missing package by the error of ${where}`, () => {
      throwUnlessMissing(error, ['another', name]);
      expect(() => throwUnlessMissing(error, ['another'])).to.throw(BackendError);
    });
  }

  for (const [what, error] of [
    [
      'misses another one',
      withCode('ERR_MODULE_NOT_FOUND', "Cannot find package 'its-dependency' imported from here.mjs"),
    ],
    ['misses another one in a browser', new TypeError("Failed to resolve module specifier 'its-dependency'")],
    [
      'does not arrive',
      new TypeError('Failed to fetch dynamically imported module: http://localhost/@some/package/x.js'),
    ],
    ['throws text', 'broken'],
  ] as const) {
    it(`tells that the package is there and ${what}`, () => {
      expect(() => throwUnlessMissing(error, [name], 'do without'))
        .to.throw(BackendError, /^@some\/package is installed but does not load: .*or do without\.$/)
        .with.property('cause', error);
    });
  }

  function withCode(code: string, message: string): Error {
    return Object.assign(new Error(message), {code});
  }
});
