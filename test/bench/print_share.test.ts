import {expect} from 'chai';
import {timeLeft} from '../../bench/support/print_share.js';

describe('the time that is left of a run', () => {
  it('is that of the rest at the pace so far, in minutes begun', () => {
    expect(timeLeft({done: 100, total: 400}, 60)).to.equal('3 min left');
    expect(timeLeft({done: 399, total: 400}, 60)).to.equal('1 min left');
    expect(timeLeft({done: 400, total: 400}, 60)).to.equal('0 min left');
  });
});
