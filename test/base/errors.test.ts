import {expect} from 'chai';
import * as errors from '../../base/errors.js';

describe('the errors of eigenkv', () => {
  for (const [name, Made] of Object.entries(errors)) {
    if (typeof Made !== 'function' || !name.endsWith('Error')) continue;
    it(`${name} writes its name out, which a bundler that shortens classes cannot take`, () => {
      const Class = Made as new (message: string) => Error;
      const Shortened = {R: class extends Class {}}.R;
      const error = new Shortened('what was given, what to do');
      expect(error).to.be.instanceOf(errors.EigenkvError);
      expect(error.name).to.equal(name === 'EigenkvError' ? 'R' : name);
      expect(error.message).to.equal('what was given, what to do');
    });
  }

  it('are named after a class of your own', () => {
    class MyError extends errors.EigenkvError {}
    expect(new MyError('mine').name).to.equal('MyError');
  });
});
