"""Golden values of seeded sampling, in NumPy and whole Python integers, apart from the package's code.

    python3 test/golden/models/sampling_golden.py

xoshiro128** is transcribed from its authors' C (xoshiro128starstar.c, Blackman and Vigna, public domain), the seeding is
the finaliser of MurmurHash3 (fmix32) over seed + k * 0x9e3779b9; nucleus and top-k are done by sorting.
"""

import json
import pathlib

import numpy as np

MASK = 0xFFFFFFFF


def fmix32(h):
    h ^= h >> 16
    h = h * 0x85EBCA6B & MASK
    h ^= h >> 13
    h = h * 0xC2B2AE35 & MASK
    return h ^ h >> 16


def rotl(x, k):
    return (x << k | x >> (32 - k)) & MASK


def xoshiro128starstar(seed):
    s = [fmix32((seed + (k + 1) * 0x9E3779B9) & MASK) for k in range(4)]
    while True:
        yield rotl(s[1] * 5 & MASK, 7) * 9 & MASK
        t = s[1] << 9 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 11)


def distribution(logits, temperature, top_k, top_p):
    """Ids by falling probability and their probabilities after both cuts."""
    p = np.exp((logits - logits.max()) / temperature)
    order = np.argsort(-logits, kind='stable')
    if top_k is not None:
        order = order[:top_k]
    p = p[order] / p[order].sum()
    if top_p is not None:
        order = order[: int(np.argmax(np.cumsum(p) >= top_p - 1e-12)) + 1]
        p = p[: len(order)] / p[: len(order)].sum()
    return order, p


def main():
    words = {str(seed): [next(g) for g in [xoshiro128starstar(seed)] for _ in range(8)] for seed in (0, 1, 2**32 - 1)}
    rng = np.random.default_rng(5)
    logits = np.round(rng.normal(size=40) * 2, 3).astype(np.float32).astype(np.float64)
    logits[7] = logits[3]
    cases = []
    for temperature, top_k, top_p in [
        (1, None, None), (0.5, None, None), (0.8, 5, None), (1.5, None, 0.9), (1, 10, 0.6), (1, None, 0.01), (2, 39, 1),
    ]:
        ids, p = distribution(logits, temperature, top_k, top_p)
        cases.append({'temperature': temperature, 'topK': top_k, 'topP': top_p, 'ids': ids.tolist(), 'probabilities': p.tolist()})
    out = {'words': words, 'logits': logits.tolist(), 'cases': cases}
    pathlib.Path(__file__).with_name('sampling.json').write_text(json.dumps(out) + '\n')


main()
