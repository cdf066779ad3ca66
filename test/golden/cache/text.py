"""The texts that the golden values of the cache are made on, and attention over them by its definition.

A text is integers from a hash, divided by 64: float32 holds them exactly, and test/cache/golden_text.ts makes the same ones.
Keys and values are nearly of rank 4 (as those of trained models are); an eighth of the tokens are heavy: their keys lie along
a direction that all queries have in them.
"""

import numpy as np

BATCH, HEADS, KV_HEADS, DIM = 2, 4, 2, 16
GROUP = HEADS // KV_HEADS


def stream(seed):
    """Numbers in [0, 1) (mulberry32, Tommy Ettinger, 2017)."""
    state = seed & 0xFFFFFFFF
    product = lambda a, b: (a * b) & 0xFFFFFFFF  # noqa: E731
    while True:
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        mixed = product(state ^ (state >> 15), 1 | state)
        mixed = ((mixed + product(mixed ^ (mixed >> 7), 61 | mixed)) & 0xFFFFFFFF) ^ mixed
        yield (mixed ^ (mixed >> 14)) / 2**32


def small(numbers, most):
    """A whole number from -most to most."""
    return int(next(numbers) * (2 * most + 1)) - most


class Text:
    """queries[b][g] [GROUP, tokens, DIM], keys[b][g] and values[b][g] [tokens, DIM]; keys and queries before rotation."""

    def __init__(self, seed, tokens):
        self.tokens = tokens
        heads = [self.head(stream(100 * seed + 2 * b + g)) for b in range(BATCH) for g in range(KV_HEADS)]
        self.queries, self.keys, self.values = zip(*heads)

    def head(self, numbers):
        heavy_direction = np.where(np.arange(DIM) % 8 >= 6, 16, 0)
        vector = lambda most, size: np.array([small(numbers, most) for _ in range(size)])  # noqa: E731
        key_mixing, value_mixing = (vector(12, 4 * DIM).reshape(4, DIM) for _ in range(2))
        one = lambda mixing: vector(4, 4) @ mixing + vector(9, DIM) + vector(9, DIM)  # noqa: E731
        keys, values, queries = [], [], []
        for _ in range(self.tokens):
            heavy = 3 + int(next(numbers) * 3) if next(numbers) < 1 / 8 else 0
            keys.append(one(key_mixing) + heavy * heavy_direction)
            values.append(one(value_mixing))
            queries.append([one(key_mixing) + 8 * heavy_direction for _ in range(GROUP)])
        return np.array(queries).swapaxes(0, 1) / 64, np.array(keys) / 64, np.array(values) / 64


def rotate(x, positions, theta):
    """Rotary embedding of rows: pair (x[i], x[i + DIM/2]) turns by position * theta^(-2 i / DIM). None: no rotation."""
    if theta is None:
        return np.array(x)
    half = DIM // 2
    angles = np.asarray(positions, float)[:, None] * float(theta) ** (-np.arange(half) / half)
    as_complex = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([as_complex.real, as_complex.imag], -1)


def attend(query, tokens):
    """softmax(q . k / sqrt(DIM) + bias) over the tokens {position: (key, value) or (key, value, bias)}: the output and {position: probability}."""
    scores = {position: query @ key / np.sqrt(DIM) + sum(bias) for position, (key, _, *bias) in tokens.items()}
    largest = max(scores.values())
    weights = {position: np.exp(score - largest) for position, score in scores.items()}
    total = sum(weights.values())
    probabilities = {position: weight / total for position, weight in weights.items()}
    return sum(p * tokens[position][1] for position, p in probabilities.items()), probabilities
