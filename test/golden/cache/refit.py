"""What stays takes over what goes: each token that goes is added to the kept one with the nearest key, weighed by the attention that both receive."""

import numpy as np

from storage import expect_clear

MOST_BIAS = 1.5
NEWEST = 16  # queries that say how much attention a token receives, if nothing else does


def take_over(part, kept, gone, mass, sinks):
    """Changes the tokens `kept` of part {position: (key, value[, bias])} and removes those of `gone`; mass {position: attention}."""
    open_ = [position for position in kept if position >= sinks]
    keys = np.array([part[position][0] for position in open_])
    given = {}
    for position in gone:
        distances = ((keys - part[position][0]) ** 2).sum(1)
        first, second = np.sort(distances)[:2]
        expect_clear(second - first, 1e-4 * max(first, 1e-3), "the nearest key")
        given.setdefault(open_[distances.argmin()], []).append(position)
    for position, others in given.items():
        key, value, *bias = part[position]
        whole = mass[position] + sum(mass[other] for other in others)
        mean = (mass[position] * value + sum(mass[other] * part[other][1] for other in others)) / whole
        grown = sum(bias) + np.log(whole / mass[position])
        part[position] = (key, mean, min(grown, max(sum(bias), MOST_BIAS)))
    for position in gone:
        del part[position]


RIDGE = 0.5
FITTED = 64  # newest queries whose outputs say what values should be, if so many see all tokens that stay


def fit_values(part, changed, attention, lost):
    """Changes the values of the tokens `changed` of a part, by least squares, so that outputs get back what they lost.

    No channel leaves the range that it has in the part.

    attention {position: probability} of each query, after others went; lost: the output of each before, less that after."""
    p = np.array([[probabilities[position] for position in changed] for probabilities in attention])
    ridge = RIDGE * (p**2).sum() / len(p)
    added = np.linalg.solve(p.T @ p + ridge * np.eye(len(changed)), p.T @ lost)
    held = np.array([value for _, value, *_ in part.values()])  # those of first tokens as well
    for position, more in zip(changed, added):
        key, value, *bias = part[position]
        part[position] = (key, np.clip(value + more, held.min(0), held.max(0)), *bias)
