"""Golden values for eigenkv/linalg, in NumPy float64, independent of the package.

Run from this folder:  python decompositions_golden.py
Needs NumPy only (made with 2.x). Writes decompositions.json: the singular values or eigenvalues of matrices that the test makes by the same
formula (test/support/spectral_matrix.ts), float64 to twelve digits; and whole decompositions of small ones.
Arrays are {"shape": [...], "data": [flat, row-major]}.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "cache"))
from text import small, stream  # noqa: E402


def spectral_matrix(rows, columns, kind, symmetric, decades, scale, seed):
    numbers = stream(seed)
    u = [small(numbers, 4) for _ in range(rows)]
    v = u if symmetric else [small(numbers, 4) for _ in range(columns)]
    alpha, beta = (2 / max(1, sum(x * x for x in w)) for w in (u, v))
    count = min(rows, columns)
    falling = lambda i, of: 10.0 ** ((-decades * i) / max(1, of - 1))  # noqa: E731
    d = []
    for i in range(count):
        sign = -1 if symmetric and i % 3 == 2 else 1
        if kind in ("equal", "columns"):
            d.append(sign)
        else:
            d.append(0 if kind == "gap" and i >= count / 4 else sign * falling(i, count))
    middle = 0
    for i in range(count):
        middle = middle + u[i] * d[i] * v[i]
    x = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            own = d[i] if i == j else 0
            left = alpha * u[i] * (u[j] * d[j]) if j < count else 0
            right = beta * (d[i] * v[i]) * v[j] if i < count else 0
            value = own - left - right + alpha * beta * u[i] * middle * v[j]
            x[i, j] = scale * value * (falling(j, columns) if kind == "columns" else 1)
    return x.astype(np.float32).astype(np.float64)


def array(x):
    x = np.asarray(x)
    return {"shape": list(x.shape), "data": [float(f"{v:.12g}") for v in x.reshape(-1)]}


def exact(x):
    """Float32 numbers in their shortest text."""
    x = np.asarray(x)
    return {"shape": list(x.shape), "data": [float(str(np.float32(v))) for v in x.reshape(-1)]}


KINDS = [
    ("spectrum", 0.5, 1.0),
    ("spectrum", 3, 1.0),
    ("spectrum", 6, 1.0),
    ("spectrum", 12, 1.0),
    ("spectrum", 3, 1e36),
    ("spectrum", 3, 1e-33),
    ("gap", 1, 1.0),
    ("equal", 0, 1.0),
    ("columns", 12, 1.0),
]


def spectra(sizes, symmetric):
    cases = []
    for size, (rows, columns) in enumerate(sizes):
        for at, (kind, decades, scale) in enumerate(KINDS):
            if symmetric and kind == "columns":
                continue
            matrix = dict(rows=rows, columns=columns, kind=kind, symmetric=symmetric, decades=decades, scale=scale, seed=100 * size + at)
            x = spectral_matrix(**matrix)
            if symmetric:
                x = (x + x.T) / 2
                values = np.linalg.eigvalsh(x)[::-1]
            else:
                values = np.linalg.svd(x, compute_uv=False)
            cases.append({**matrix, "sum": float(f"{np.abs(x).sum():.9g}"), "values": array(values)["data"]})
    return cases


# --- whole decompositions ----------------------------------------------------------------------------------------


def turned(vt):
    """Signs that make the first component within 1e-5 of the largest magnitude positive."""
    leading = (np.abs(vt) >= np.abs(vt).max(-1, keepdims=True) * 0.99999).argmax(-1)
    return np.sign(np.take_along_axis(vt, leading[..., None], -1))


def whole(name, x, rank):
    """x [..., m, n] with distinct singular values."""
    x = x.astype(np.float32).astype(np.float64)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    signs = turned(vt)
    u, vt = u * np.swapaxes(signs, -1, -2), vt * signs
    q, r = np.linalg.qr(x)
    positive = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    q, r = q * positive[..., None, :], r * positive[..., :, None]
    low = (u[..., :rank] * s[..., None, :rank]) @ vt[..., :rank, :]
    return {
        "name": name, "x": exact(x), "u": array(u), "s": array(s), "vt": array(vt), "q": array(q), "r": array(r),
        "pinv": array(np.linalg.pinv(x)),
        "rank": rank, "low": array(low), "error": array(np.sqrt(((x - low) ** 2).sum((-1, -2)))),
    }


def whole_golden(rng):
    def matrices(*shape):
        """Singular values 1, 2, 3 ..., so that vectors have definite values."""
        u, _, vt = np.linalg.svd(rng.normal(0, 1, shape), full_matrices=False)
        return (u * (1 + np.arange(u.shape[-1]))) @ vt

    return [
        whole("square", matrices(5, 5), 2),
        whole("tall", matrices(7, 3), 1),
        whole("wide", matrices(3, 8), 2),
        whole("a stack", matrices(3, 4, 6), 3),
        whole("two leading axes", matrices(2, 3, 6, 4), 2),
        whole("one row", matrices(1, 6), 1),
        whole("one column", matrices(6, 1), 1),
    ]


if __name__ == "__main__":
    golden = {
        "what": "NumPy float64 on float32 inputs, made by decompositions_golden.py",
        "singular": spectra([(1, 1), (2, 5), (16, 16), (33, 20), (20, 33), (64, 64), (128, 64), (128, 128), (40, 300)], False),
        "eigen": spectra([(1, 1), (2, 2), (16, 16), (33, 33), (64, 64), (128, 128)], True),
        "whole": whole_golden(np.random.default_rng(20261130)),
    }
    (HERE / "decompositions.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
