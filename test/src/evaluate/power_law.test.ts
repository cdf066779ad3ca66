import {expect} from 'chai';
import {type MeasuredOf, errorOfPowerLaw, fitPowerLaw, inverse} from '../../../src/evaluate/power_law.js';

/** Points of y = 3 x^0.8, with a relative standard error. */
const points = (error: number, ...xs: number[]): MeasuredOf[] =>
  xs.map(x => ({x, y: 3 * x ** 0.8, stderr: 3 * x ** 0.8 * error}));

describe('power laws', () => {
  it('are found from points on them', () => {
    const law = fitPowerLaw(points(0.1, 0.001, 0.02, 0.3));
    expect(law.factor).to.be.closeTo(3, 1e-9);
    expect(law.exponent).to.be.closeTo(0.8, 1e-9);
    expect(inverse(law, 3 * 0.05 ** 0.8)).to.be.closeTo(0.05, 1e-9);
    const one = fitPowerLaw(points(0.1, 0.01));
    expect(one.exponent).to.equal(1);
    expect(0.01 * one.factor).to.be.closeTo(3 * 0.01 ** 0.8, 1e-12);
    expect(fitPowerLaw([{x: 1, y: 0, stderr: 0}])).to.deep.equal({factor: 1, exponent: 1});
  });

  it('are as certain at one of two points as that point', () => {
    const two = [...points(0.1, 0.01), ...points(0.3, 0.1)];
    expect(errorOfPowerLaw(two, 0.01)).to.be.closeTo(0.1, 1e-12);
    expect(errorOfPowerLaw(two, 0.1)).to.be.closeTo(0.3, 1e-12);
    // in the middle the mean of both, and a whole distance beyond the second one 2 y_2 - y_1
    expect(errorOfPowerLaw(two, Math.sqrt(0.001))).to.be.closeTo(Math.hypot(0.1, 0.3) / 2, 1e-12);
    expect(errorOfPowerLaw(two, 1)).to.be.closeTo(Math.hypot(2 * 0.3, 0.1), 1e-12);
  });

  it('are less certain far from the points, and the sooner the closer these are', () => {
    const errors = [0.01, 0.1, 1, 10].map(x => errorOfPowerLaw(points(0.1, 0.001, 0.01, 0.1), x));
    expect(errors).to.deep.equal(errors.toSorted((a, b) => a - b));
    expect(errors[0]).to.be.closeTo(0.1 / Math.sqrt(3), 1e-9);
    expect(errorOfPowerLaw(points(0.1, 0.009, 0.01, 0.011), 1)).to.be.above(10 * errors[2]!);
    expect(errorOfPowerLaw(points(0.1, 0.01), 0.01)).to.equal(Infinity);
  });
});
