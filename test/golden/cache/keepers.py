"""Keepers by what their papers and docstrings say, over exact tokens: which go, once there are more than the budget, the recent ones and the
sinks. Float64, one head and one query at a time.
"""


import numpy as np

from policies import early
from refit import FITTED, NEWEST, fit_values, take_over
from storage import expect_clear
from text import BATCH, DIM, GROUP, HEADS, KV_HEADS, attend, rotate, small, stream

COLUMNS = 24  # of W_O


def projections(seed):
    """W_O of each query head, `[HEADS, DIM, COLUMNS]`: whole numbers / 8, of unequal size."""
    numbers = stream(seed)
    return np.array([[[small(numbers, 2 + 3 * (row % 4)) for _ in range(COLUMNS)] for row in range(DIM)] for _ in range(HEADS)]) / 8


class Keeping:
    """`queries` newest queries, of tokens that are recent, choose among those that are not."""

    def __init__(self, budget=256, sinks=4, recent=None, queries=0, projection=None, refit=False):
        self.budget, self.sinks, self.queries, self.refit = budget, sinks, queries, refit
        self.recent = max(32, queries) if recent is None else recent
        self.projection = [np.eye(DIM)] * HEADS if projection is None else projections(projection)

    def settle(self, heads, step):
        if len(heads[0].held()) <= self.budget + self.sinks + self.recent:
            return
        candidates = [sorted(head.held())[: len(head.held()) - self.recent] for head in heads]
        scores = [self.scores(head, tokens, step.seen) for head, tokens in zip(heads, candidates)]
        for head, tokens, score in zip(heads, candidates, self.agreed(scores)):
            self.evict(head, tokens, score, step.seen)

    def agreed(self, scores):
        return scores

    def evict(self, head, tokens, scores, seen):
        heavy = self.budget + self.sinks
        worth = [np.inf if position < self.sinks else score for position, score in zip(tokens, scores)]
        order = np.argsort(worth)[::-1]
        kept, gone = order[: heavy - early(heavy)], order[heavy - early(heavy) :]
        expect_clear((worth[kept[-1]] - worth[gone[0]]) / max(abs(worth[gone[0]]), 1e-12), 1e-4, "which token goes")
        head.move([position for position in tokens if position in head.parts["recent"]], "heavy")
        before = np.array([output for _, output, _ in self.answers(head, seen, FITTED)])
        if self.refit:
            mass = dict(zip(tokens, self.mass(head, tokens, seen, max(self.queries, NEWEST))))
            take_over(head.parts["heavy"], [tokens[at] for at in kept], [tokens[at] for at in gone], mass, self.sinks)
        for at in gone:
            head.parts["heavy"].pop(tokens[at], None)
        if self.refit == "leastSquares":
            _, after, attention = zip(*self.answers(head, seen, FITTED))
            stay = [tokens[at] for at in kept if tokens[at] >= self.sinks]
            fit_values(head.parts["heavy"], stay, attention, before - np.array(after))

    def asked(self, seen, queries=None):
        """Positions of the queries that choose: each sees every candidate."""
        return range(max(0, seen - min(queries or self.queries, max(1, self.recent))), seen)

    def answers(self, head, seen, queries=None):
        """For each query head of the group and each query: its output and the probability of each token held."""
        held = head.held()
        for g in range(GROUP):
            for at in self.asked(seen, queries):
                query = rotate(head.text.queries[head.index][g, at : at + 1], [at], head.theta)[0]
                yield g, *attend(query, {position: token for position, token in held.items() if position <= at})

    def mass(self, head, tokens, seen, queries=None):
        total = np.zeros(len(tokens))
        for _, _, probabilities in self.answers(head, seen, queries):
            total += [probabilities[position] for position in tokens]
        return total

    def projection_of(self, head, g):
        return self.projection[head.index % KV_HEADS * GROUP + g]


class Tova(Keeping):
    def __init__(self, **options):
        super().__init__(queries=1, **options)

    def scores(self, head, tokens, seen):
        return self.mass(head, tokens, seen)

    def agreed(self, scores):
        texts = [scores[b * KV_HEADS : (b + 1) * KV_HEADS] for b in range(BATCH)]
        return [np.sum(text, 0) / HEADS for text in texts for _ in range(KV_HEADS)]


class SnapKv(Keeping):
    def __init__(self, queries=64, pooling=5, **options):
        super().__init__(queries=queries, **options)
        self.radius = (pooling - 1) // 2

    def scores(self, head, tokens, seen):
        mass = dict(zip(tokens, self.mass(head, tokens, seen)))
        near = range(-self.radius, self.radius + 1)
        return np.array([sum(mass.get(position + away, 0) for away in near) / len(near) for position in tokens])


class DropKv(Keeping):
    def __init__(self, queries=32, **options):
        super().__init__(queries=queries, **options)

    def scores(self, head, tokens, seen):
        """By removing each token and attending again."""
        held, total = head.held(), np.zeros(len(tokens))
        for g, output, probabilities in self.answers(head, seen):
            for i, position in enumerate(tokens):
                p = probabilities[position]
                without = (output - p * held[position][1]) / (1 - p)
                total[i] += (((without - output) @ self.projection_of(head, g)) ** 2).sum()
        return total


class KeyDiff(Keeping):
    def scores(self, head, tokens, seen):
        keys = np.array([head.held()[position][0] for position in tokens])
        units = keys / np.linalg.norm(keys, axis=1, keepdims=True)
        anchor = units.mean(0)
        return -units @ anchor / np.linalg.norm(anchor)


class ExpectedAttention(Keeping):
    def __init__(self, queries=64, ahead=512, epsilon=0.002, **options):
        super().__init__(queries=queries, **options)
        self.ahead, self.epsilon = ahead, epsilon

    def scores(self, head, tokens, seen):
        keys, values = (np.array(side) for side in zip(*(head.held()[position][:2] for position in tokens)))
        # the matrix of the mean rotation: what it makes of the unit vectors
        coming = [rotate(np.eye(DIM), [at] * DIM, head.theta).T for at in range(seen, seen + self.ahead)]
        rotation = np.mean(coming, 0)
        total = np.zeros(len(tokens))
        for g in range(GROUP):
            queries = head.text.queries[head.index][g][list(self.asked(seen))]
            mean, covariance = queries.mean(0), np.cov(queries.T, bias=True)
            exponents = keys @ rotation @ mean / np.sqrt(DIM)
            exponents += np.einsum("ti,ij,tj->t", keys, rotation @ covariance @ rotation.T, keys) / (2 * DIM)
            exponents += [sum(head.held()[position][2:]) for position in tokens]
            weights = np.where(np.array(tokens) < self.sinks, 0, np.exp(exponents - exponents.max()))
            norms = np.linalg.norm(values @ self.projection_of(head, g), axis=1)
            total += (weights / weights.sum() + self.epsilon) * norms
        return total


KEEPERS = {"tova": Tova, "snapKv": SnapKv, "dropKv": DropKv, "keyDiff": KeyDiff, "expectedAttention": ExpectedAttention}
