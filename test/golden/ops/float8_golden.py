"""Golden values for float8 codes, by NumPy and ml_dtypes (JAX's float8 types), independent of the package.

Run from this folder:  python float8_golden.py
Needs numpy and ml_dtypes. Writes float8.json: the number of each of the 256 codes of both formats, and tokens with their
scales, packed codes and decoded numbers. Every step is in float32, to be met bit for bit.

A token's scale is its largest magnitude divided by the format's largest number; a code is x / scale rounded to the nearest
float8 (ties to even), after clipping to the format's range. Four codes fill a 32-bit word, the first in the lowest bits.
Non-finite numbers are written as strings.
"""

import json
from pathlib import Path

import ml_dtypes
import numpy as np

F32 = np.float32
FORMATS = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}


def number(value):
    """The shortest text of a float32 number; non-finite ones as strings."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(np.format_float_scientific(F32(value), unique=True))


def flat(array):
    return [number(v) for v in np.asarray(array, F32).ravel()]


def table(dtype):
    return flat(np.arange(256, dtype=np.uint8).view(dtype).astype(F32))


def tokens(rng, largest):
    """[rows, 23]: 23 channels fill neither a word nor a vector."""
    columns = 23
    rows = []
    # scale exactly 1: rounding is met as it is. All midpoints between neighbours and their float32 neighbours.
    dtype = FORMATS["e4m3"] if largest == 448 else FORMATS["e5m2"]
    codes = np.arange(128, dtype=np.uint8).view(dtype).astype(F32)
    finite = codes[np.isfinite(codes)]
    middle = (finite[1:] + finite[:-1]) / F32(2)
    probes = np.concatenate([finite, middle, np.nextafter(middle, F32(0)), np.nextafter(middle, F32(np.inf))])
    probes = probes * np.where(np.arange(len(probes)) % 3 == 1, F32(-1), F32(1))
    for start in range(0, len(probes), columns - 1):
        row = np.zeros(columns, F32)
        part = probes[start : start + columns - 1]
        row[0], row[1 : 1 + len(part)] = largest, part
        rows.append(row)
    for spread in (1, 1e-30, 1e30, 1e-38, 1e-42, 3e38 / 4):
        rows += list((rng.normal(0, 1, (3, columns)).clip(-3.9, 3.9) * spread).astype(F32))
    rows.append(np.zeros(columns, F32))
    rows.append(np.full(columns, -2.5, F32))
    outlier = rng.normal(0, 1, columns).astype(F32)
    outlier[7] = 30000
    rows.append(outlier)
    rows.append((np.exp(rng.uniform(-16, 6, columns)) * rng.choice([-1, 1], columns)).astype(F32))
    return np.stack(rows)


def encode(x, name):
    dtype = FORMATS[name]
    largest = F32(ml_dtypes.finfo(dtype).max)
    scales = (np.abs(x).max(-1, keepdims=True) / largest).astype(F32)
    safe = np.where(scales == 0, F32(1), scales)
    with np.errstate(over="ignore"):
        scaled = np.where(scales == 0, F32(0), (x / safe).astype(F32))
    codes = np.clip(scaled, -largest, largest).astype(dtype)
    decoded = (codes.astype(F32) * scales).astype(F32)
    padded = np.zeros((x.shape[0], -(-x.shape[1] // 4) * 4), np.uint8)
    padded[:, : x.shape[1]] = codes.view(np.uint8)
    return {
        "x": {"shape": list(x.shape), "data": flat(x)},
        "scales": flat(scales),
        "words": padded.view("<i4").ravel().tolist(),
        "decoded": flat(decoded),
    }


def main():
    rng = np.random.default_rng(8)
    golden = {}
    for name, dtype in FORMATS.items():
        x = tokens(rng, float(ml_dtypes.finfo(dtype).max))
        golden[name] = {"numbers": table(dtype), **encode(x, name)}
    Path(__file__).with_name("float8.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
