"""The policies by what their papers and docstrings say, one head at a time, over dictionaries of tokens in float64.

What a head holds is `parts`: name -> {position: (key, value)}, keys as attention meets them (rotated). Fresh tokens are in
`recent`; a policy's `settle` moves them on once a step is over. Whether tokens move now or wait is part of what the package
promises, too: sealed tokens move 16 or more at a time, in whole groups; a budget that is full gives up less than a
sixteenth more than it must.
"""

from math import ceil, lcm

import numpy as np

from refit import take_over
from storage import expect_clear, float8, hadamard, quantise, right_singular
from text import BATCH, DIM, KV_HEADS, attend, rotate

LATENT_NOISE = 1e-7  # of the largest number: what float32 products may do to a latent; a bound would leave no text
ROTATION_NOISE = 3e-7  # of the largest number: what float32 cosines, products and sums may do to a rotated key


class Head:
    def __init__(self, text, index, theta):
        self.text, self.index, self.theta = text, index, theta
        self.parts = {"recent": {}}
        self.memory = {}  # what a policy remembers of this head

    def take_in(self, positions):
        keys = rotate(self.text.keys[self.index][positions], positions, self.theta)
        values = self.text.values[self.index][positions]
        self.parts["recent"].update(zip(positions, zip(keys, values)))

    def held(self):
        return {position: token for part in self.parts.values() for position, token in part.items()}

    def move(self, positions, to, keys=None, values=None):
        """From `recent` to another part, as they are or in another storage."""
        part = self.parts.setdefault(to, {})
        for at, position in enumerate(positions):
            key, value = self.parts["recent"].pop(position)
            part[position] = (key if keys is None else keys[at], value if values is None else values[at])

    def matrices(self, positions):
        keys, values = zip(*(self.parts["recent"][position] for position in positions))
        return np.array(keys), np.array(values)

    def unrotated(self, positions):
        return self.text.keys[self.index][positions]

    def noise(self, x):
        return 0.0 if self.theta is None else ROTATION_NOISE * np.abs(x).max()


class Step:
    """What a policy may know of a step: tokens seen, the attention of its queries and the queries themselves."""

    def __init__(self, seen, attention, queries):
        self.seen = seen
        self.attention = attention  # per head: (position of the query, [{position: probability} per query head])
        self.queries = queries  # per head: (position of the query, [rotated query per query head])


def oldest_recent(head, keep, lot):
    """Those that leave when at least `keep` stay: in whole lots."""
    recent = sorted(head.parts["recent"])
    return recent[: max(0, (len(recent) - keep) // lot) * lot]


def lot_of(*blocks):
    block = lcm(*blocks)
    return block * ceil(16 / block)


def early(budget):
    return min(16, ceil(budget / 16)) - 1


def pays(tokens, shared):
    """The first tokens of a run wait until what they share (a basis, a mean) is a third of their own numbers."""
    return len(tokens) * DIM >= 3 * shared


class Full:
    def settle(self, heads, step):
        pass


# --- precision -----------------------------------------------------------------------------------------------------


class Quantized:
    def __init__(self, bits=8, keyBits=None, valueBits=None, keyAxis="channel", valueAxis="token", groupSize=64,
                 residual=32, symmetric=False, center=False, rotate=False):
        self.sides = [(keyBits or bits, keyAxis), (valueBits or bits, valueAxis)]
        self.group, self.residual, self.symmetric, self.center, self.turn = groupSize, residual, symmetric, center, rotate
        self.shared = (DIM * DIM if center or rotate else 0) + (DIM if center else 0)
        self.lot = lot_of(*(groupSize if axis == "channel" else 1 for _, axis in self.sides))

    def settle(self, heads, step):
        for head in heads:
            positions = oldest_recent(head, self.residual, self.lot)
            if positions and ("old" in head.parts or pays(positions, self.shared)):
                keys, values = head.matrices(positions)
                head.move(positions, "old", self.stored(head, 0, keys, head.noise(keys)), self.stored(head, 1, values, 0.0))

    def stored(self, head, side, x, noise):
        bits, axis = self.sides[side]
        if not (self.center or self.turn):
            return quantise(x, bits, axis, self.group, self.symmetric, noise)[3]
        mean = head.memory.setdefault(("mean", side), x.mean(0)) if self.center else np.zeros(DIM)
        assert not self.center or np.array_equal(mean * 2**12, np.rint(mean * 2**12)) or noise > 0  # exact in float32
        basis = hadamard(DIM) if self.turn else np.eye(DIM)
        latents = (x - mean) @ basis  # exact, too: a turn adds and subtracts, and divides by 4
        return quantise(latents, bits, axis, self.group, self.symmetric, 3 * noise)[3] @ basis.T + mean


class Float8:
    def __init__(self, format="e4m3", residual=32):
        self.format, self.residual = format, residual

    def settle(self, heads, step):
        for head in heads:
            positions = oldest_recent(head, self.residual, lot_of(1))
            if positions:
                keys, values = head.matrices(positions)
                stored = float8(keys, self.format, head.noise(keys))[2], float8(values, self.format)[2]
                head.move(positions, "old", *stored)


class Adaptive:
    """Each block in 2, 4 or 8 bits, for each text the fewest with which the outputs of its latest queries stay within `tolerance`.

    The block lies in the segment of the widest that a text of the batch needs."""

    def __init__(self, tolerance=0.02, residual=32, groupSize=32):
        self.tolerance, self.residual, self.group = tolerance, residual, groupSize

    def settle(self, heads, step):
        positions = oldest_recent(heads[0], self.residual, lot_of(self.group, 1))
        if not positions:
            return
        behind = len(heads[0].parts["recent"]) - len(positions)
        asked = [head_queries[-max(behind, 1) :] for head_queries in step.queries]
        texts = [slice(text * KV_HEADS, (text + 1) * KV_HEADS) for text in range(BATCH)]
        chosen = [self.choose(heads[text], positions, asked[text]) for text in texts]
        widest = max(chosen)
        for text, bits in zip(texts, chosen):
            for head in heads[text]:
                if bits == 32:
                    head.move(positions, "exact")
                    continue
                keys, values = zip(*self.stored(head, positions, bits)().values())
                head.move(positions, "exact" if widest == 32 else f"bits{widest}", keys, values)

    def choose(self, heads, positions, asked):
        exact = outputs([head.held() for head in heads], asked)
        for bits in (2, 4, 8):
            stored = [self.stored(head, positions, bits) for head in heads]
            tried = outputs([{**head.held(), **block()} for head, block in zip(heads, stored)], asked)
            error = np.linalg.norm(tried - exact) / np.linalg.norm(exact)
            expect_clear(abs(error / self.tolerance - 1), 2e-3, "a level")
            if error <= self.tolerance:
                return bits
        return 32

    def stored(self, head, positions, bits):
        keys, values = head.matrices(positions)
        k = quantise(keys, bits, "channel", self.group, noise=head.noise(keys))[3]
        v = quantise(values, bits, "token", self.group)[3]
        return lambda: {position: (k[at], v[at]) for at, position in enumerate(positions)}


def outputs(tokens, queries):
    """Attention of each head's queries over what they see of it."""
    see = lambda held, at: {position: token for position, token in held.items() if position <= at}  # noqa: E731
    return np.array([
        [[attend(query, see(held, at))[0] for query in group] for at, group in asked] for held, asked in zip(tokens, queries)
    ])


# --- low rank ------------------------------------------------------------------------------------------------------


def fold(head, positions, rank):
    """The singular value decomposition of what is known of the tokens so far and the new ones, cut off at `rank`."""
    memory = head.memory
    exact = head.unrotated(positions), head.matrices(positions)[1]
    memory["positions"] = memory.get("positions", []) + positions
    whole = head.unrotated(memory["positions"]), head.text.values[head.index][memory["positions"]]
    for side, block in enumerate(exact):
        everything = np.concatenate([memory.get(side, np.zeros((0, DIM))), block])
        basis = right_singular(everything, rank)
        memory[side] = everything @ basis.T @ basis
        memory["discarded", side] = memory.get(("discarded", side), 0) + ((everything - memory[side]) ** 2).sum()
        assert np.isclose(memory["discarded", side], ((whole[side] - memory[side]) ** 2).sum())
    head.move(positions, "old")
    keys = rotate(memory[0], memory["positions"], head.theta)
    head.parts["old"] = dict(zip(memory["positions"], zip(keys, memory[1])))


class OnlineSvd:
    def __init__(self, rank, updateFreq=16):
        self.rank, self.every = rank, updateFreq

    def settle(self, heads, step):
        for head in heads:
            recent = sorted(head.parts["recent"])
            if len(recent) >= self.every and ("old" in head.parts or pays(recent, DIM * self.rank)):
                fold(head, recent, self.rank)


class Layered:
    """Sinks and short term exact. Long term: low rank, folded 64 or more at a time; integers; or integers of the latents in
    the basis of the first 128 or more tokens."""

    def __init__(self, sinks=4, shortTermSize=128, longTermRank=None, longTermBits=None):
        self.sinks, self.short, self.rank, self.bits = sinks, shortTermSize, longTermRank, longTermBits

    def settle(self, heads, step):
        for head in heads:
            keep_sinks(head, self.short, self.sinks)
            over = len(head.parts["recent"]) - self.short
            if self.bits is None:
                if over >= 64:
                    fold(head, sorted(head.parts["recent"])[:over], self.rank or DIM // 2)
            elif self.rank is None or "old" in head.parts or over >= 128:
                positions = oldest_recent(head, self.short, lot_of(32))
                if positions:
                    self.seal(head, positions)

    def seal(self, head, positions):
        keys, values = head.matrices(positions)
        if self.rank is None:
            keys = quantise(keys, self.bits, "channel", 32, noise=head.noise(keys))[3]
            values = quantise(values, self.bits, "token", 32)[3]
        else:
            keys = rotate(self.latents(head, 0, head.unrotated(positions)), positions, head.theta)
            values = self.latents(head, 1, values)
        head.move(positions, "old", keys, values)

    def latents(self, head, side, x):
        if ("basis", side) not in head.memory:
            head.memory["basis", side] = leading_positive(right_singular(x, self.rank))
        basis = head.memory["basis", side]
        return quantise(x @ basis.T, self.bits, "channel", 32, noise=LATENT_NOISE * np.abs(x).max())[3] @ basis


def leading_positive(basis):
    """The largest component of each direction is positive: codes of -z are not those of z."""
    sizes = np.sort(np.abs(basis), -1)
    expect_clear((sizes[:, -1] - sizes[:, -2]).min(), 1e-4, "a sign")
    return basis * np.sign(np.take_along_axis(basis, np.abs(basis).argmax(-1, keepdims=True), -1))


# --- eviction ------------------------------------------------------------------------------------------------------


def keep_sinks(head, window, sinks):
    """The first tokens get a part of their own once they would leave."""
    recent = sorted(head.parts["recent"])
    if len(recent) > window and sinks and "sinks" not in head.parts:
        head.move(recent[:sinks], "sinks")


class Sliding:
    def __init__(self, window=508, sinks=4):
        self.window, self.sinks = window, sinks

    def settle(self, heads, step):
        for head in heads:
            keep_sinks(head, self.window, self.sinks)
            recent = sorted(head.parts["recent"])
            if len(recent) > self.window:
                for position in recent[: -(self.window - early(self.window))]:
                    del head.parts["recent"][position]


class Evicting:
    """Over budget, the newest stay, and of the others those of the greatest worth."""

    heavy: int
    recent: int

    def settle(self, heads, step):
        for head, attention in zip(heads, step.attention):
            scores = head.memory.setdefault("scores", {})
            for position in head.parts["recent"]:
                scores.setdefault(position, self.first_score(position))
            for at, seen in attention:
                self.observe(scores, at, seen)
            tokens = sorted(head.held())
            if len(tokens) > self.heavy + self.recent:
                self.evict(head, tokens[: -self.recent], scores, step.seen)

    def evict(self, head, candidates, scores, seen):
        order = sorted(candidates, key=lambda position: self.worth(scores[position], position, seen), reverse=True)
        kept, gone = order[: self.heavy - early(self.heavy)], order[self.heavy - early(self.heavy) :]
        worst, best = (self.worth(scores[position], position, seen)[0] for position in (kept[-1], gone[0]))
        if not self.whole:
            expect_clear(worst / max(best, 1e-9) - 1, 1e-4, "which token goes")
        head.move([position for position in candidates if position in head.parts["recent"]], "heavy")
        if self.refit:
            take_over(head.parts["heavy"], kept, gone, dict(scores), self.sinks)
        for position in gone:
            head.parts["heavy"].pop(position, None)
            del scores[position]

    whole = False  # scores are whole numbers
    refit = False

    def first_score(self, position):
        return 0


class H2o(Evicting):
    def __init__(self, heavyBudget=256, recentBudget=256, sinks=4, normalize=True, refit=False):
        self.heavy, self.recent, self.sinks, self.normalize, self.refit = heavyBudget, recentBudget, sinks, normalize, refit

    def observe(self, scores, at, seen):
        for probabilities in seen:
            for position, probability in probabilities.items():
                scores[position] += probability

    def worth(self, score, position, seen):
        if position < self.sinks:
            return (np.inf,)
        return (score / (seen - position),) if self.normalize else (score,)


class ByUse(Evicting):
    whole = True

    def __init__(self, maxCacheSize=512, threshold=0.01):
        self.recent = ceil(maxCacheSize / 16)
        self.heavy, self.threshold = maxCacheSize - self.recent, threshold

    def observe(self, scores, at, seen):
        for position in seen[0]:
            most = max(probabilities[position] for probabilities in seen)
            expect_clear(abs(most / self.threshold - 1), 1e-5, "a use")
            if most >= self.threshold:
                self.use(scores, position, at)

    def worth(self, score, position, seen):
        return score, position


class Lfu(ByUse):
    def use(self, scores, position, at):
        scores[position] += 1


class Lru(ByUse):
    def first_score(self, position):
        return position

    def use(self, scores, position, at):
        scores[position] = max(scores[position], at)


POLICIES = {"full": Full, "quantized": Quantized, "float8": Float8, "onlineSvd": OnlineSvd, "sliding": Sliding, "h2o": H2o,
            "lru": Lru, "lfu": Lfu, "layered": Layered, "adaptive": Adaptive}


# --- running one ---------------------------------------------------------------------------------------------------


def run(policy, text, chunks, theta):
    """A text through a policy: the heads as they stand in the end, and the outputs [heads of all batches, tokens, DIM]."""
    heads = [Head(text, index, theta) for index in range(len(text.keys))]
    output = [[] for _ in heads]
    seen = 0
    for count in chunks:
        positions = list(range(seen, seen + count))
        seen += count
        attention, queries = [], []
        for index, head in enumerate(heads):
            head.take_in(positions)
            held = head.held()
            head_attention, head_queries = [], []
            turned = rotate(text.queries[index][:, positions], positions, theta)
            for i, at in enumerate(positions):
                visible = {position: token for position, token in held.items() if position <= at}
                answers = [attend(query, visible) for query in turned[:, i]]
                output[index].append([answer for answer, _ in answers])
                head_attention.append((at, [probabilities for _, probabilities in answers]))
                head_queries.append((at, turned[:, i]))
            attention.append(head_attention)
            queries.append(head_queries)
        policy.settle(heads, Step(seen, attention, queries))
    # [heads, tokens, group, DIM] to one row of tokens a query head
    return heads, np.array(output).swapaxes(1, 2).reshape(-1, seen, DIM)
