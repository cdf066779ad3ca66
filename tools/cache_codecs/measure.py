"""Measures codecs of caches on one text by the protocol of `eigenkv eval`. main.ts runs it: see README.md.

Reads the ids of the text as JSON from stdin; prints a line of JSON for each method as soon as it is measured.
"""

import argparse
import json
import sys
import time

import numpy as np

from llama import Llama
from methods import checks, methods
from past import Past, Side

SINGLE_STEPS = 20
"""Tokens at the end that are processed one by one, as `eigenkv eval` does."""


def steps_of(tokens, chunk):
    """Where each step starts and ends: chunks, then single tokens."""
    single = min(SINGLE_STEPS, tokens // 2)
    starts = [*range(0, tokens - single, chunk), *range(tokens - single, tokens)]
    return list(zip(starts, [*starts[1:], tokens]))


def log_softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def pasts_of(model, method, tokens, sinks):
    """Empty pasts, one per depth."""
    return [
        Past(*(Side(*side, model.kv_heads, model.dim, tokens, sinks) for side in (method.keys, method.values)))
        for _ in model.depths
    ]


def log_probabilities(model, ids, pasts, chunk):
    """Yields the first token of each step and ln p(next id) of its tokens, [tokens, vocabulary]."""
    for start, end in steps_of(len(ids), chunk):
        yield start, log_softmax(model.step(ids[start:end], pasts))


class Totals:
    """Sums over predictions: negative log-likelihood of the next id, divergence from the full cache, equal best ids."""

    def __init__(self):
        self.predictions = self.nll = self.divergence = self.agreements = 0

    def count(self, full, other, targets):
        full, other = full[: len(targets)], other[: len(targets)]
        self.predictions += len(targets)
        self.nll -= other[np.arange(len(targets)), targets].sum(dtype=np.float64)
        self.divergence += (np.exp(full) * (full - other)).sum(dtype=np.float64)
        self.agreements += int((full.argmax(-1) == other.argmax(-1)).sum())


def figure_of(method, pasts, totals):
    """The figures of a method after its run."""
    sides = [side for past in pasts for side in (past.keys, past.values)]
    float32_bytes = sum(side.float32_bytes for side in sides)
    byte_size = sum(side.byte_size for side in sides)
    return {
        "codec": method.codec,
        "settings": method.settings,
        "nll": totals.nll / totals.predictions,
        "perplexity": float(np.exp(totals.nll / totals.predictions)),
        "klDivergence": totals.divergence / totals.predictions,
        "top1Agreement": totals.agreements / totals.predictions,
        "bytesPerToken": byte_size / pasts[0].tokens,
        "ratioToFloat32": byte_size / float32_bytes,
        "exactRatio": sum(side.exact_bytes for side in sides) / float32_bytes,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--sinks", type=int, default=4)
    parser.add_argument("--only", default="", help="methods whose name contains this, and checks")
    given = parser.parse_args()
    ids = np.array(json.load(sys.stdin))
    model = Llama(given.model)
    full = None
    for method in methods(model.dim) + (checks() if given.only else []):
        is_full = full is None
        if not is_full and given.only not in f"{method.codec}, {method.settings}":
            continue
        begin = time.perf_counter()
        pasts = pasts_of(model, method, len(ids), given.sinks)
        steps = log_probabilities(model, ids, pasts, given.chunk)
        if is_full:
            full = np.concatenate([step for _, step in steps])
            steps = [(0, full)]
        totals = Totals()
        for start, other in steps:
            totals.count(full[start : start + len(other)], other, ids[start + 1 : start + len(other) + 1])
        print(f"{method.codec}, {method.settings}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        print(json.dumps(figure_of(method, pasts, totals)), flush=True)


if __name__ == "__main__":
    main()
