import {expect} from 'chai';
import {importOptional, runsInNode} from '../../../ops/backends/optional_package.js';
import {BackendError} from '../../../ops/errors.js';
import {rejection} from '../../models/weights/rejection.js';

const moduleOf = (source: string) => `data:text/javascript,${encodeURIComponent(source)}`;

describe('importOptional', () => {
  it('says whether a package is installed', async () => {
    expect(await importOptional('chai', () => import('chai'))).to.be.true;
    const name = 'eigenkv-has-no-such-package';
    expect(await importOptional(name, () => import(name))).to.be.false;
  });

  it('tells a package that fails to load from a missing one', async () => {
    const broken = moduleOf('throw new Error("libtensorflow.so.2 not found.\\nand more")');
    const error = await rejection(
      importOptional('broken', () => import(broken)),
      BackendError,
    );
    expect(error.message).to.equal(
      'broken is installed but does not load: libtensorflow.so.2 not found. Install it again, or use another backend.',
    );
    expect(error.cause).to.be.instanceOf(Error);
  });

  it('tells a package that misses another one from a missing one', async () => {
    const error = Object.assign(new Error("Cannot find package 'its-dependency' imported from here.mjs"), {
      code: 'ERR_MODULE_NOT_FOUND',
    });
    await rejection(
      importOptional('package', () => Promise.reject(error)),
      BackendError,
      /package is installed but does not load: Cannot find package 'its-dependency'/,
    );
  });

  it('knows Node', () => {
    expect(runsInNode()).to.be.true;
  });
});
