"""Golden values for models/compress, in NumPy float64, independent of the package.

Run from this folder:  python compress_golden.py
Needs NumPy only (made with 2.4). Writes bases.json. Features are numbers with three digits. Arrays are
{"shape": [...], "data": [flat, row-major]}.

Everything is from its definition: errors are Frobenius norms of the very score and output matrices, rotations are matrices,
averages over distances are sums over every distance.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
THETA = 100.0
DIM, TOKENS, GROUP, MODEL = 8, 40, 3, 12


def array(x):
    x = np.asarray(x, np.float64)
    return {"shape": list(x.shape), "data": [float(f"{v:.12g}") for v in x.reshape(-1)]}


def features(rng, rows, decay, mix):
    """Rows with a falling spectrum in a random basis."""
    basis = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    scales = decay ** np.arange(DIM)
    return np.round((rng.standard_normal((rows, DIM)) * scales) @ basis + mix, 3)


def rotation(distance, interleaved, rotary):
    """The matrix R with x R the row x turned by `distance` positions; channels from `rotary` on stay."""
    r = np.eye(DIM)
    pairs = rotary // 2
    for i in range(pairs):
        a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + pairs)
        angle = distance * THETA ** (-2 * i / rotary)
        r[a, a] = r[b, b] = np.cos(angle)
        r[a, b], r[b, a] = np.sin(angle), -np.sin(angle)
    return r


def averaged(cq, weights, interleaved, rotary):
    p = np.ones(512) if weights == "uniform" else np.exp(-np.arange(512) / 64)
    p /= p.sum()
    turned = [rotation(d, interleaved, rotary) for d in range(512)]
    return sum(p[d] * turned[d].T @ cq @ turned[d] for d in range(512))


def root(m):
    values, vectors = np.linalg.eigh(m)
    return vectors @ np.diag(np.sqrt(values)) @ vectors.T


def top(m, r):
    values, vectors = np.linalg.eigh(m)
    return vectors[:, np.argsort(values)[::-1][:r]]


def key_errors(k, qs, method):
    """||K A (Q B)^T - K Q^T||_F^2 over the query heads of the group, for each rank."""
    ck, cq = k.T @ k, sum(q.T @ q for q in qs)
    out = []
    for r in range(DIM + 1):
        if method == "kqSvd":
            half = root(cq)
            w = top(half @ ck @ half, r)
            a, b = half @ w, np.linalg.inv(half) @ w
        else:
            a = b = top(ck if method == "svd" else ck + cq, r)
        out.append(sum(np.linalg.norm(k @ a @ (q @ b).T - k @ q.T) ** 2 for q in qs))
    return out


def value_errors(v, ws, method):
    """||(V A B^T - V) W_O||_F^2 over the query heads of the group, for each rank."""
    cv, g = v.T @ v, sum(w @ w.T for w in ws)
    out = []
    for r in range(DIM + 1):
        if method == "kqSvd":
            half = root(g)
            w = top(half @ cv @ half, r)
            a, b = half @ w, np.linalg.inv(half) @ w
        else:
            a = b = top(cv, r)
        out.append(sum(np.linalg.norm((v @ a @ b.T - v) @ w) ** 2 for w in ws))
    return out


def main():
    rng = np.random.default_rng(7)
    k = features(rng, TOKENS, 0.75, 0.3)
    qs = [features(rng, TOKENS, 0.8, 0.1) for _ in range(GROUP)]
    v = features(rng, TOKENS, 0.8, 0.0)
    ws = [np.round(rng.standard_normal((DIM, MODEL)) * (0.6 ** np.arange(DIM))[:, None], 3) for _ in range(GROUP)]
    tail = np.cumsum((np.linalg.svd(np.vstack([q @ k.T for q in qs]), compute_uv=False) ** 2)[::-1])[::-1]
    errors = {m: key_errors(k, qs, m) for m in ("svd", "eigen", "kqSvd")}
    # the optimum is the Eckart-Young tail of the scores themselves
    assert np.allclose(errors["kqSvd"][:DIM], tail[:DIM], rtol=1e-8)
    cq = sum(q.T @ q for q in qs)
    metrics = [
        {
            "weights": weights,
            "interleaved": interleaved,
            "rotaryDim": rotary,
            "metric": array(averaged(cq, weights, interleaved, rotary)),
        }
        for weights, interleaved, rotary in (("falling", False, 8), ("uniform", True, 8), ("falling", False, 4))
    ]
    golden = {
        "theta": THETA,
        "keys": array(k),
        "queries": array(np.stack(qs)),
        "values": array(v),
        "outputs": array(np.stack(ws)),
        "keyErrors": {m: array(e) for m, e in errors.items()},
        "valueErrors": {m: array(value_errors(v, ws, m)) for m in ("svd", "kqSvd")},
        "metrics": metrics,
    }
    (HERE / "bases.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


main()
