"""Golden values for ops/linalg and ops/batched_matmul, in NumPy float64, independent of the package.

Run from this folder:  python linalg_golden.py
Needs NumPy only (made with 2.x). Writes linalg.json. Inputs are float32 numbers with few digits, so
Float32Array.from(data) restores them exactly; results are float64 to twelve digits.
Arrays are {"shape": [...], "data": [flat, row-major]}. Eigenvectors and right singular vectors are rows.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def decimals(x, digits=3):
    """Few digits, then float32, then float64 again: what the package is given is exactly what is decomposed here."""
    return np.round(np.asarray(x, np.float64), digits).astype(np.float32).astype(np.float64)


def array(x):
    x = np.asarray(x)
    return {"shape": list(x.shape), "data": [float(f"{v:.12g}") for v in x.reshape(-1)]}


def exact(x):
    """Float32 numbers in their shortest text."""
    x = np.asarray(x)
    return {"shape": list(x.shape), "data": [float(str(np.float32(v))) for v in x.reshape(-1)]}


# --- eigenvalues -----------------------------------------------------------------------------------------------


def orthogonal(rng, dim):
    return np.linalg.qr(rng.normal(0, 1, (dim, dim)))[0]


def with_spectrum(rng, spectrum):
    """A float32 matrix near Q diag(spectrum) Q^T, exactly symmetric."""
    q = orthogonal(rng, len(spectrum))
    x = ((q * spectrum) @ q.T).astype(np.float32).astype(np.float64)
    return np.tril(x) + np.tril(x, -1).T


def wilkinson(dim):
    """Tridiagonal, with pairs of eigenvalues that agree to many digits (Wilkinson's W+)."""
    middle = (dim - 1) // 2
    return np.diag(np.abs(np.arange(dim) - middle).astype(float)) + np.eye(dim, k=1) + np.eye(dim, k=-1)


def eigen_case(name, x):
    """`simple`: the vectors whose eigenvalue is far from all others, the only ones with a definite value."""
    values, vectors = np.linalg.eigh(x)
    values, vectors = values[::-1], vectors.T[::-1].copy()
    assert np.allclose(vectors.T * values @ vectors, x, atol=1e-13 * max(1e-300, np.abs(values).max()))
    for vector in vectors:
        # positive where it is first within 1e-5 of the largest magnitude
        leading = np.argmax(np.abs(vector) >= np.abs(vector).max() * 0.99999)
        if vector[leading] < 0:
            vector *= -1
    size = np.abs(values).max()
    gaps = np.abs(values[:, None] - values[None, :]) + np.diag(np.full(len(values), np.inf))
    simple = [int(i) for i in np.flatnonzero(gaps.min(1) > 1e-2 * size)] if size > 0 else []
    return {"name": name, "x": exact(x), "values": array(values), "vectors": array(vectors), "simple": simple}


def eigen_golden(rng):
    hilbert = 1 / (np.arange(6)[:, None] + np.arange(6)[None, :] + 1)
    low_rank = decimals(rng.normal(0, 1, (3, 12)))
    return [
        eigen_case("1 x 1", np.array([[-2.5]])),
        eigen_case("2 x 2 with equal diagonal", np.array([[0.0, 1.0], [1.0, 0.0]])),
        eigen_case("zeros", np.zeros((5, 5))),
        eigen_case("identity", np.eye(6)),
        eigen_case("diagonal, unordered, negative", np.diag([3.0, -1.0, 7.0, 0.0, -7.5])),
        eigen_case("random, even", with_spectrum(rng, np.array([9.0, 6, 4, 2.5, 1, -0.5, -3, -8]))),
        eigen_case("random, odd", with_spectrum(rng, np.array([5.0, 3, 2, 1, 0.5, -1, -4]))),
        eigen_case("repeated", with_spectrum(rng, np.array([4.0, 4, 4, 2, 2, 1, 1, 1, 1]))),
        eigen_case("rank 3 of 12", decimals(low_rank.T @ low_rank)),
        eigen_case("Hilbert", hilbert.astype(np.float32).astype(np.float64)),
        eigen_case("Wilkinson's 21", wilkinson(21)),
        eigen_case("huge", with_spectrum(rng, np.array([1e36, 5e35, -2e35, 1e34]))),
        eigen_case("tiny", with_spectrum(rng, np.array([1e-33, 5e-34, -2e-34, 1e-35]))),
        eigen_case("twelve orders of magnitude", np.diag(np.float32(10.0) ** -np.arange(13, dtype=np.float32)).astype(np.float64)),
        eigen_case("all ones", np.ones((10, 10))),
        eigen_case("arrow", np.diag(np.arange(9.0)) + np.outer(np.eye(9)[8], np.ones(9)) + np.outer(np.ones(9), np.eye(9)[8])),
    ]


# --- singular values -------------------------------------------------------------------------------------------


def svd_case(name, x):
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    assert np.allclose(u * s @ vt, x)
    return {"name": name, "x": exact(x), "s": array(s)}


def svd_golden(rng):
    tall = decimals(rng.normal(0, 1, (20, 6)) * [5, 4, 3, 2, 1, 0.5])
    rank_2 = decimals(decimals(rng.normal(0, 1, (7, 2)), 1) @ decimals(rng.normal(0, 1, (2, 5)), 1), 2)
    return [
        svd_case("tall", tall),
        svd_case("wide", tall.T),
        svd_case("square", decimals(rng.normal(0, 1, (5, 5)))),
        svd_case("rank 2 of 5", rank_2),
        svd_case("zeros", np.zeros((3, 4))),
        svd_case("one column", decimals(rng.normal(0, 1, (6, 1)))),
        svd_case("one row", decimals(rng.normal(0, 1, (1, 6)))),
        svd_case("huge", decimals(rng.normal(0, 1, (6, 3))) * 2.0**100),
        svd_case("tiny", decimals(rng.normal(0, 1, (6, 3))) * 2.0**-100),
    ]


# --- the incremental update ------------------------------------------------------------------------------------


def fold_stream(rng, name, blocks, dim, limit, decay):
    """Brand's update written out in full, one head: the factors of everything so far are decomposed again as a whole.
    Per step: the squared singular values kept, the projection on the new basis, the energy cut off, and the tokens as
    they are then known, C B."""
    mixing = orthogonal(rng, dim) * decay ** np.arange(dim)
    tokens = [decimals(rng.normal(0, 1, (count, dim)) @ mixing.T) for count in blocks]
    known = np.zeros((0, dim))
    steps = []
    for block in tokens:
        everything = np.concatenate([known, block])
        u, s, vt = np.linalg.svd(everything, full_matrices=False)
        rank = min(limit, len(s))
        known = u[:, :rank] * s[:rank] @ vt[:rank]
        steps.append({
            "block": exact(block),
            "squares": array(s[:rank] ** 2),
            "projection": array(vt[:rank].T @ vt[:rank]),
            "discarded": float(f"{(s[rank:] ** 2).sum():.12g}"),
        })
    whole = np.concatenate(tokens)
    error = ((whole - known) ** 2).sum()
    assert np.isclose(error, sum(step["discarded"] for step in steps))  # the claim of foldBlock's docstring
    return {"name": name, "limit": limit, "steps": steps, "known": array(known), "error": float(f"{error:.12g}")}


def fold_golden(rng):
    return [
        fold_stream(rng, "rank suffices", [5, 5, 3], 6, 6, 0.8),
        fold_stream(rng, "first block shorter than the rank", [2, 1, 6, 4], 8, 4, 0.6),
        fold_stream(rng, "truncated", [8, 8, 8, 8], 10, 3, 0.7),
        fold_stream(rng, "rank 1", [4, 4], 5, 1, 0.5),
    ]


# --- products --------------------------------------------------------------------------------------------------


def product_golden(rng):
    """a [2, m, k] times b [2, k, n]; the test transposes the inputs for the other three forms."""
    cases = []
    for m, k, n in [(1, 1, 1), (4, 8, 8), (5, 7, 9), (3, 2, 17), (9, 5, 3), (16, 3, 24)]:
        a, b = decimals(rng.normal(0, 1, (2, m, k))), decimals(rng.normal(0, 1, (2, k, n)))
        cases.append({"a": exact(a), "b": exact(b), "product": array(a @ b)})
    return cases


# --- ranks and entropies ---------------------------------------------------------------------------------------


def rank_golden(rng):
    cases = []
    for s in ([3.0, 2, 1, 0.5, 0.1], [1.0] * 10, [5.0], [1.0, 0, 0], list(decimals(0.8 ** np.arange(30), 6))):
        squares = np.square(s)
        shares = np.cumsum(squares) / squares.sum()
        cases.append({
            "s": [float(v) for v in s],
            "ranks": {str(p): int(np.argmax(shares >= p - 1e-12)) + 1 for p in (0.5, 0.9, 0.99)},
            "stable": float(f"{squares.sum() / squares.max():.12g}"),
        })
    return cases


def entropy_golden(rng):
    scores = rng.normal(0, 3, (2, 3, 7))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights[0, 0, 3:] = 0
    weights /= weights.sum(-1, keepdims=True)
    weights = weights.astype(np.float32).astype(np.float64)
    logs = np.log(np.where(weights > 0, weights, 1))
    return {
        "weights": exact(weights),
        "shannon": array(-(weights * logs).sum(-1)),
        "renyi2": array(-np.log((weights**2).sum(-1))),
    }


if __name__ == "__main__":
    rng = np.random.default_rng(20240701)
    golden = {
        "what": "NumPy float64 on float32 inputs, made by linalg_golden.py",
        "eigen": eigen_golden(rng),
        "svd": svd_golden(rng),
        "fold": fold_golden(rng),
        "products": product_golden(rng),
        "ranks": rank_golden(rng),
        "entropy": entropy_golden(rng),
    }
    (HERE / "linalg.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
