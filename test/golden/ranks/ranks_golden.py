"""Golden values for src/evaluate/ranks and src/evaluate/monitor, in NumPy float64, independent of the package.

Run from this folder:  python ranks_golden.py
Needs NumPy only (made with 2.4). Writes ranks.json. Inputs are numbers with three digits, so Float32Array.from(data)
restores them to float32's precision. Arrays are {"shape": [...], "data": [flat, row-major]}.

Everything is from its definition: singular values are those of the very matrices K, V, K Q^T and softmax(Q K^T), by
np.linalg.svd; random matrices are drawn and decomposed.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
THETA = 10000.0


def array(x):
    x = np.asarray(x, np.float64)
    return {"shape": list(x.shape), "data": [float(f"{v:.10g}") for v in x.reshape(-1)]}


def effective_rank(s, energy):
    kept = np.cumsum(np.sort(s**2)[::-1])
    return int(np.argmax(kept >= energy * kept[-1])) + 1


def ranks(matrix, energy):
    s = np.linalg.svd(matrix, compute_uv=False)
    return {
        "effective": effective_rank(s, energy),
        "stable": float((s**2).sum() / s.max() ** 2),
        "s": [float(f"{v:.10g}") for v in s],
    }


def rotated(x):
    """Pairs (i, i + dim / 2) of token t turn by t * THETA^(-2i / dim)."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[-2])[:, None] * THETA ** (-np.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], -1)


def features(rng, batch, heads, kv_heads, tokens, dim):
    """Queries, keys and values with falling spectra and an offset, as models have them; entropies from 0 to ln tokens."""

    def draw(n, spread):
        mixed = rng.normal(0, spread, (batch, n, tokens, dim)) * np.exp(-np.arange(dim) / 3)
        mixed = mixed @ np.linalg.qr(rng.normal(0, 1, (dim, dim)))[0]
        return np.round(mixed + rng.normal(0, 0.3, (1, n, 1, dim)), 3)

    return draw(heads, 3.0), draw(kv_heads, 3.0), draw(kv_heads, 1.0)


def features_case(rng):
    batch, heads, kv_heads, tokens, dim, energy = 2, 4, 2, 24, 8, 0.97
    q, k, v = features(rng, batch, heads, kv_heads, tokens, dim)
    group = heads // kv_heads
    found = []
    for kv in range(kv_heads):
        # a head's tokens of all batches, one below the other; the queries of all heads of its group
        rows = lambda x: x[:, kv].reshape(-1, dim)
        of_group = lambda x: x[:, kv * group : (kv + 1) * group].reshape(-1, dim)
        matrices = {
            "keys": rows(k),
            "rotatedKeys": rows(rotated(k)),
            "values": rows(v),
            "queries": of_group(q),
            "scores": rows(k) @ of_group(q).T,
            "rotatedScores": rows(rotated(k)) @ of_group(rotated(q)).T,
        }
        for name, matrix in matrices.items():
            entry = ranks(matrix, energy)
            entry["s"] = entry["s"][:dim]  # K Q^T has no more than dim that are not zero
            found.append({"feature": name, "kvHead": kv, **entry})

    attention = []
    rq, rk = rotated(q), rotated(k)
    for b in range(batch):
        for h in range(heads):
            scores = rq[b, h] @ rk[b, h // group].T / np.sqrt(dim)
            scores[np.triu_indices(tokens, 1)] = -np.inf
            p = np.exp(scores - scores.max(-1, keepdims=True))
            p /= p.sum(-1, keepdims=True)
            logs = np.log(np.where(p > 0, p, 1))
            per_query = {"entropy": -(p * logs).sum(-1), "renyi2": -np.log((p**2).sum(-1))}
            attention.append(
                {
                    **{k: v for k, v in ranks(p, energy).items() if k != "s"},
                    **{name: float(x.mean()) for name, x in per_query.items()},
                    "entropies": [float(f"{x:.10g}") for x in per_query["entropy"]],
                    "renyi2s": [float(f"{x:.10g}") for x in per_query["renyi2"]],
                }
            )
    return {
        "energy": energy,
        "theta": THETA,
        "queries": array(q),
        "keys": array(k),
        "values": array(v),
        "features": found,
        "attention": attention,
    }


def random_case(rng, rows, columns):
    """Mean share over a few drawn matrices, large enough for the limit."""
    shares = {}
    for energy in (0.5, 0.9, 0.99):
        shares[str(energy)] = float(
            np.mean(
                [
                    effective_rank(np.linalg.svd(rng.normal(0, 1, (rows, columns)), compute_uv=False), energy)
                    / min(rows, columns)
                    for _ in range(6)
                ]
            )
        )
    return {"rows": rows, "columns": columns, "shares": shares}


def weights_case(rng):
    """A matrix of low rank and noise, one of noise only."""
    noise = np.round(rng.normal(0, 1, (32, 48)), 3)
    low = np.round(rng.normal(0, 1, (32, 3)) @ rng.normal(0, 1, (3, 32)) + rng.normal(0, 0.02, (32, 32)), 3)
    return [
        {"weight": array(m), "ranks": {e: effective_rank(np.linalg.svd(m, compute_uv=False), float(e)) for e in ("0.9", "0.99")},
         "stable": ranks(m, 0.9)["stable"]}
        for m in (low, noise)
    ]


def main():
    rng = np.random.default_rng(2024)
    golden = {
        "features": features_case(rng),
        "random": [random_case(rng, *shape) for shape in ((400, 400), (200, 600), (600, 150))],
        "weights": weights_case(rng),
    }
    (HERE / "ranks.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


main()
