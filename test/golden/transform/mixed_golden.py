"""Golden values of whole texts under the policy `mixed` with a profile, in NumPy, independent of the package.

Run from this folder:  python mixed_golden.py
Needs numpy and safetensors. Writes mixed.json: profiles of two models of ../models/tiny, the positions that each key head holds in each level at
the end, and the logits of a text that each reads in chunks.

By the definition of docs/TRANSFORM.md: tokens are stored as models_golden.py says, in the most bits. While they take more bytes than a depth's part of
the budget, whole tiles of those that received least attention per query are coded again in fewer bits, from what their codes stand for; the
newest `near` stay. The parts are as the codes, scales and positions of a token in the most bits. (No token is evicted here: ../cache/keepers.py has evictions.)

Decisions are discrete: each text is the first whose numbers and scores all lie apart.
"""

import json
from pathlib import Path

import numpy as np

from models_golden import TILE, VOCAB, Cache, Model, as_lists, mean_nll, numbers, profile_of, softmax, widths_by_side
from storage import Unclear, expect_clear

HERE = Path(__file__).parent

CASES = [  # model, sinks, bits of the levels, bytes of the budget, near tokens, chunks
    ("qwen2", 2, (6, 2), 1900, 16, [9, 1, 1, 14, 1, 1, 1, 20, 1, 1, 2, *[1] * 11]),
    ("llama_rope_yarn", 4, (6, 4, 1.5), 1150, 0, [21, 1, 1, 1, 17, 1, 1, 1, 1, 12, *[1] * 7]),
]


class MixedCache(Cache):
    def __init__(self, model, profile, levels, budget, near, sinks):
        super().__init__(model, profile, levels[-1], None, near, sinks)
        self.levels = levels
        self.costs = np.array([[token_bytes(widths[depth]) for widths in levels] for depth in range(model.depths)])
        first = self.costs[:, 0] - 4 * len(profile[0]["keys"]["weights"])
        self.rooms = np.floor(budget * first / first.mean())
        self.mass = [None] * model.depths
        self.level = [None] * model.depths  # [kvHeads, tokens]: -1 is exact

    def attend(self, depth, q, k, v):
        past = self.depths[depth]
        k, v = (k, v) if past is None else (np.concatenate(both, 1) for both in zip(past, (k, v)))
        kv_heads, tokens, dim = k.shape
        start = tokens - q.shape[1]
        group = len(q) // kv_heads
        later = np.arange(tokens) > start + np.arange(q.shape[1])[:, None]
        scores = q @ np.repeat(k, group, 0).transpose(0, 2, 1) / np.sqrt(dim)
        p = softmax(np.where(later, -np.inf, scores))
        fresh = ((0, 0), (0, q.shape[1]))
        if past is None:
            self.mass[depth], self.level[depth] = np.zeros((kv_heads, 0)), np.zeros((kv_heads, 0), int)
        self.mass[depth] = np.pad(self.mass[depth], fresh) + p.reshape(kv_heads, group, q.shape[1], tokens).sum((1, 2))
        self.level[depth] = np.pad(self.level[depth], fresh, constant_values=-1)
        self.depths[depth] = self.store(depth, k, v)
        return p @ np.repeat(v, group, 0)

    def store(self, depth, k, v):
        first = self.stored[depth]
        last = first + max(k.shape[1] - first, 0) // TILE * TILE
        self.stored[depth] = last
        k, v = k.copy(), v.copy()
        if last > first:
            self.code(depth, k, v, first, last, self.levels[0])
            self.level[depth][:, first:last] = 0
        self.lower(depth, k, v)
        return k, v

    def lower(self, depth, k, v):
        costs, room = self.costs[depth], self.rooms[depth]
        newest = int(min(self.near, room / 2 / costs[0])) // TILE * TILE
        held = [(self.level[depth][0] == at).sum() for at in range(len(costs))]
        over = held @ costs - room
        for at, gain in enumerate(costs[:-1] - costs[1:]):
            stays = newest if at == 0 else 0
            count = (self.level[depth][0] == at).sum()
            leaving = min(count - stays, TILE * int(np.ceil(over / gain / TILE)))
            if over <= 0 or leaving <= 0:
                continue
            over -= leaving * gain
            for head in range(len(k)):
                self.lower_head(depth, head, k, v, at, leaving, self.stored[depth] - stays)
        assert over <= 0, "the text is too long for this budget"

    def lower_head(self, depth, head, k, v, at, leaving, first_staying):
        positions = np.flatnonzero(self.level[depth][head] == at)
        scores = self.mass[depth][head, positions] / (k.shape[1] - positions)
        scores[positions >= first_staying] = np.inf
        order = np.argsort(scores)
        if leaving < len(order) and np.isfinite(scores[order[leaving]]):
            expect_clear(scores[order[leaving]] - scores[order[leaving - 1]], 1e-5, "scores")
        chosen = np.sort(positions[order[:leaving]])
        self.level[depth][head, chosen] = at + 1
        for side, x in (("keys", k), ("values", v)):
            tables = self.profile[depth][side]
            rotated_mean = tables.get("rotatedMean")
            turned = 0
            if rotated_mean is not None:
                turned = self.model.turn(np.repeat(rotated_mean[head][None, None], leaving, 1), chosen)[0]
            every = np.repeat((x[head, chosen] - turned)[None], len(k), 0)  # of all heads, to take one
            x[head, chosen] = self.coded(depth, side, every, self.levels[at + 1])[head] + turned


def token_bytes(widths):
    """Codes and a scale of 6 bits of each head and side, a position and a score of each head in 4 bytes each."""
    heads = widths["keys"] + widths["values"]
    return sum(8 * row.sum() / 8 + 6 / 8 for row in heads) + 8 * len(widths["keys"])


def case(name, sinks, bits, budget, near, chunks, seed):
    rng = np.random.default_rng(seed)
    model = Model(name)
    profile = profile_of(model, rng.integers(3, VOCAB, model.context), rng)
    coarsest = widths_by_side(profile, bits[-1])
    levels = [*(widths_by_side(profile, of, coarsest) for of in bits[:-1]), coarsest]
    ids = rng.integers(3, VOCAB, sum(chunks))
    assert len(ids) <= model.context
    cache = MixedCache(model, profile, levels, budget, near, sinks)
    logits, start = [], 0
    for count in chunks:
        logits.append(model.run(ids[start : start + count], start=start, attend=cache.attend))
        start += count
    logits = np.concatenate(logits)
    held = [[[np.flatnonzero(row == at).tolist() for row in of] for at in range(len(bits))] for of in cache.level]
    print(f"{name}: seed {seed}, logits up to {np.abs(logits - model.run(ids)).max():.2g} from the exact ones, levels of", [[len(at[0]) for at in of] for of in held])
    options = {"sinks": sinks, "bits": "/".join(map(str, bits)), "near": near, "budget": f"{budget}B"}
    return {"model": name, "name": "mixed", "options": options, "chunks": chunks, "ids": ids.tolist(), "held": held,
            "profile": [{side: {part: numbers(x) for part, x in tables.items()} for side, tables in depth.items()} for depth in profile],
            "levels": [as_lists(widths) for widths in levels], "meanNll": mean_nll(logits, ids), "logits": numbers(logits, 7)}


def first_clear(*of):
    for seed in range(1, 2000):
        try:
            return case(*of, seed)
        except Unclear:
            continue
    raise SystemExit(f"No seed makes all decisions of {of} clear.")


if __name__ == "__main__":
    cases = [first_clear(*of) for of in CASES]
    text = json.dumps({"what": "NumPy float64, made by mixed_golden.py", "cases": cases}, separators=(",", ":"), allow_nan=False)
    (HERE / "mixed.json").write_text(text.replace('},{"model"', '},\n{"model"') + "\n")
    print(f"mixed.json: {len(text) / 1000:.0f} kB")
