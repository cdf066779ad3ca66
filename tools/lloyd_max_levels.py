"""Finds the levels of ops/encodings/lloyd_max_levels.ts and prints them as it has them.

    pip install numpy scipy
    python tools/lloyd_max_levels.py        (some six minutes)

Levels are for a standard normal number and symmetric around 0. A width of two planes has the levels
U[upper] + (lower - (2^lowerBits - 1) / 2) * delta. U and delta minimise the mean squared error of the nearest level, from many
random starts, since it has many local minima.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm

# width: (bits of the upper plane, bits of the lower plane, starts)
WIDTHS = {1: (1, 0, 1), 2: (2, 0, 1), 3: (2, 1, 100), 4: (4, 0, 1), 5: (4, 1, 10000), 6: (4, 2, 10000), 8: (4, 4, 4000)}


def error_of(levels):
    """The mean squared error of the nearest level, and its gradient by the levels."""
    order = np.argsort(levels)
    level = levels[order]
    midpoint = (level[1:] + level[:-1]) / 2
    mass = np.diff(np.r_[0, norm.cdf(midpoint), 1])
    density = norm.pdf(midpoint)
    first = -np.diff(np.r_[0, density, 0])  # of x, over each level's cell
    second = mass - np.diff(np.r_[0, midpoint * density, 0])  # of x^2
    gradient = np.empty_like(level)
    gradient[order] = 2 * (level * mass - first)
    return (second - 2 * level * first + level**2 * mass).sum(), gradient


def start_of(upper, lower, rng, first):
    """Random U (its positive half) and delta."""
    if first:
        half = (np.arange(upper // 2) + 0.5) * 6 / upper
    else:
        half = np.sort(np.abs(rng.normal(size=upper // 2))) * rng.uniform(0.3, 1.5) + rng.uniform(0, 0.3)
    if lower == 1:
        return half
    return np.r_[half, rng.uniform(0.02, 4 / lower)]


def best_levels(upper_bits, lower_bits, starts, rng):
    upper, lower = 2**upper_bits, 2**lower_bits
    steps = np.arange(lower) - (lower - 1) / 2

    def objective(parameters):
        half = parameters[: upper // 2]
        delta = parameters[upper // 2] if lower > 1 else 0
        error, by_level = error_of((np.r_[-half[::-1], half][:, None] + steps * delta).ravel())
        by_level = by_level.reshape(upper, lower)
        by_upper = by_level.sum(1)
        by_half = by_upper[upper // 2 :] - by_upper[: upper // 2][::-1]
        return error, np.r_[by_half, (by_level.sum(0) * steps).sum()] if lower > 1 else by_half

    found = [
        minimize(objective, start_of(upper, lower, rng, first=i == 0), jac=True, method="BFGS", options={"gtol": 1e-12, "maxiter": 3000})
        for i in range(starts)
    ]
    best = min(found, key=lambda result: result.fun)
    half = np.sort(np.abs(best.x[: upper // 2]))
    return half, abs(best.x[upper // 2]) if lower > 1 else None, best.fun


def main():
    rng = np.random.default_rng(17)
    for width, (upper_bits, lower_bits, starts) in WIDTHS.items():
        half, delta, error = best_levels(upper_bits, lower_bits, starts, rng)
        bits = f"{upper_bits}, {lower_bits}" if lower_bits else f"{upper_bits}"
        numbers = ", ".join(f"{level:.9f}" for level in half)
        step = f"delta: {delta:.9f}, " if lower_bits else ""
        print(f"{width}: {{bits: [{bits}], upper: [{numbers}], {step}meanSquaredError: {error:.9g}}},", flush=True)


if __name__ == "__main__":
    main()
