"""Golden values for cache/codecs/transform_profile, in NumPy float64, independent of the package.

Run from this folder:  python transform_golden.py
Needs NumPy only (made with 2.4). Writes transform.json. Arrays are {"shape": [...], "data": [flat, row-major]}.

Transforms by their definition, by another route than the package: A = F^(1/2) E / sd with sd the standard deviations of the channels,
lambda the diagonal of B F B^T. Widths by bisection of the Lagrangian's multiplier, one over all groups; the budgets are those that
some multiplier meets exactly.
"""

import json
import math
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DEPTHS, HEADS, DIM, SHRINK = 3, 2, 16, 0.2
WIDTHS = np.array([0, 1, 2, 3, 4, 5, 6, 8])
DISTORTIONS = np.array([1, 0.363380228, 0.117481848, 0.0352671311, 0.00950100801, 0.0025638632, 0.000701340399, 0.0000479933749])


def array(x):
    x = np.asarray(x, np.float64)
    return {"shape": list(x.shape), "data": [float(f"{v:.12g}") for v in x.reshape(-1)]}


def spd(rng, decay):
    """A symmetric positive matrix with a falling spectrum, of numbers with twelve digits."""
    q = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    m = (q * decay ** np.arange(DIM)) @ q.T
    return np.array([float(f"{v:.12g}") for v in ((m + m.T) / 2).reshape(-1)]).reshape(DIM, DIM)


def transform(c, f):
    dim = len(f)
    f = (1 - SHRINK) * f + SHRINK * np.trace(f) / dim * np.eye(dim)
    w, v = np.linalg.eigh(f)
    root, inverse = (v * np.sqrt(w)) @ v.T, (v / np.sqrt(w)) @ v.T
    e = np.linalg.eigh(root @ c @ root)[1][:, ::-1]
    e = e * np.sign(e[np.abs(e).argmax(0), np.arange(dim)])
    u = root @ e
    sd = np.sqrt(np.diag(u.T @ c @ u))
    a, b = u / sd, (e.T @ inverse) * sd[:, None]
    return a, b, np.diag(b @ f @ b.T)


def widths(weights, mean_bits):
    """Of each group: the width of least weight * distortion + t * width, t by bisection."""
    low, high = 1e-12, 1e6
    for _ in range(200):
        t = math.sqrt(low * high)
        pick = (weights[:, None] * DISTORTIONS + t * WIDTHS).argmin(1)
        if WIDTHS[pick].mean() > mean_bits:
            low = t
        else:
            high = t
    return (weights[:, None] * DISTORTIONS + high * WIDTHS).argmin(1)


def main():
    rng = np.random.default_rng(17)
    heads = [
        {"covariance": spd(rng, 0.75), "metric": 10 ** rng.uniform(-3, -1) * spd(rng, 0.8)}
        for _ in range(DEPTHS * 2 * HEADS)
    ]
    out = [transform(h["covariance"], h["metric"]) for h in heads]
    weights = np.concatenate([o[2].reshape(-1, 8).sum(1) for o in out])
    budgets = []
    for bits in (0.5, 1.3, 2.5, 3.5, 4.5, 6.2):
        pick = widths(weights, bits)
        budgets.append(
            {
                "widths": [int(w) for w in WIDTHS[pick]],
                "bits": float(WIDTHS[pick].mean()),
                "bytesPerToken": float(WIDTHS[pick].sum() + 6 / 8 * len(heads)),
                "predictedKl": float((weights * DISTORTIONS[pick]).sum() / 2),
            }
        )
    stored = {
        "depths": DEPTHS,
        "kvHeads": HEADS,
        "dim": DIM,
        "shrink": SHRINK,
        "covariances": array([h["covariance"] for h in heads]),
        "metrics": array([h["metric"] for h in heads]),
        "analysis": array([o[0] for o in out]),
        "synthesis": array([o[1] for o in out]),
        "weights": array([o[2] for o in out]),
        "budgets": budgets,
    }
    (HERE / "transform.json").write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
