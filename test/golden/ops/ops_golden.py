"""Golden values for the ops, in NumPy, independent of the package.

Run from this folder:  python ops_golden.py
Needs NumPy only. Writes attention.json (causal attention, rotation, merging of partials; float64 on inputs
that are float32 numbers) and integer.json (integer quantisation; every step in float32, bit for bit).

Axes are [batch, heads, tokens, dim]. Every array is written as {"shape": [...], "data": [flat, row-major]}.
Inputs have three decimals and then are rounded to float32, so Float32Array.from(data) restores them exactly.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
F32 = np.float32


# --- attention -------------------------------------------------------------------------------------------------


def visible(query_count, key_count, causal):
    """[queries, keys] bool. Query i sits at absolute index key_count - query_count + i, and sees itself and before."""
    if not causal:
        return np.ones((query_count, key_count), bool)
    query_index = key_count - query_count + np.arange(query_count)
    return np.arange(key_count)[None, :] <= query_index[:, None]


def partial_attention(q, k, v, mask, scale):
    """One segment before normalisation: with s = scale * q k^T,
    max = max_j s_j, sum = sum_j exp(s_j - max), output = sum_j exp(s_j - max) v_j, over the visible j.

    q [B, Hq, Tq, D], k [B, Hkv, Tk, D], v [B, Hkv, Tk, Dv]; query head h reads key head h // (Hq / Hkv).
    A row that sees nothing has max = -inf, sum = 0, output = 0.
    """
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.where(mask, scale * q @ np.swapaxes(k, -1, -2), -np.inf)
    top = scores.max(-1, keepdims=True)
    weights = np.where(mask, np.exp(scores - np.where(np.isfinite(top), top, 0)), 0)
    return weights @ v, top[..., 0], weights.sum(-1)


def normalise(output, total):
    return np.where(total[..., None] > 0, output / np.where(total > 0, total, 1)[..., None], 0)


def merge(a, b):
    """Exact union of two partials over disjoint keys."""
    (output_a, max_a, sum_a), (output_b, max_b, sum_b) = a, b
    top = np.maximum(max_a, max_b)
    weight_a, weight_b = np.exp(max_a - top), np.exp(max_b - top)
    output = weight_a[..., None] * output_a + weight_b[..., None] * output_b
    return output, top, weight_a * sum_a + weight_b * sum_b


def attention_case(rng, name, batch, heads, kv_heads, queries, keys, dim, dim_v=None, spread=1.0):
    q = decimals(rng.normal(0, spread, (batch, heads, queries, dim)))
    k = decimals(rng.normal(0, spread, (batch, kv_heads, keys, dim)))
    v = decimals(rng.normal(0, 1, (batch, kv_heads, keys, dim_v or dim)))
    q64, k64, v64 = (x.astype(np.float64) for x in (q, k, v))
    mask = visible(queries, keys, True)
    output, _, total = partial_attention(q64, k64, v64, mask, dim**-0.5)
    output = normalise(output, total)
    check_attention_by_loops(q64, k64, v64, output)
    return {"name": name, "scale": dim**-0.5, "queries": array(q), "keys": array(k), "values": array(v),
            "output": array64(output)}


def check_attention_by_loops(q, k, v, output):
    """The definition, one query at a time, against the vectorised form above."""
    group = q.shape[1] // k.shape[1]
    for b, h, i in np.ndindex(q.shape[:3]):
        seen = k.shape[2] - q.shape[2] + i + 1
        if seen <= 0:
            assert not output[b, h, i].any()
            continue
        scores = k[b, h // group, :seen] @ q[b, h, i] / np.sqrt(q.shape[3])
        weights = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(output[b, h, i], weights @ v[b, h // group, :seen], rtol=1e-12, atol=1e-13)


def merge_case(rng, name, batch, heads, kv_heads, queries, old, dim, spread):
    """`past` holds `old` tokens that every query sees; `fresh` holds the queries' own tokens, causally."""
    q = decimals(rng.normal(0, spread, (batch, heads, queries, dim)))
    k = decimals(rng.normal(0, spread, (batch, kv_heads, old + queries, dim)))
    v = decimals(rng.normal(0, 1, (batch, kv_heads, old + queries, dim)))
    q64, k64, v64 = (x.astype(np.float64) for x in (q, k, v))
    scale = dim**-0.5
    past = partial_attention(q64, k64[:, :, :old], v64[:, :, :old], visible(queries, old, False), scale)
    fresh = partial_attention(q64, k64[:, :, old:], v64[:, :, old:], visible(queries, queries, True), scale)
    merged = merge(past, fresh)
    output = normalise(merged[0], merged[2])
    check_attention_by_loops(q64, k64, v64, output)
    return {"name": name, "scale": scale, "pastTokens": old, "queries": array(q), "keys": array(k),
            "values": array(v), "past": partial(past), "fresh": partial(fresh), "merged": partial(merged),
            "output": array64(output)}


def rotate(x, positions, theta, layout):
    """Rotary embedding of x [..., tokens, dim]: pair i turns by position * theta^(-2 i / dim).

    halves: pair i is (x[i], x[i + dim/2]). interleaved: pair i is (x[2 i], x[2 i + 1]).
    """
    dim = x.shape[-1]
    frequencies = float(theta) ** (-2.0 * np.arange(dim // 2) / dim)
    angles = np.asarray(positions, np.float64)[:, None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = (x[..., : dim // 2], x[..., dim // 2 :]) if layout == "halves" else (x[..., ::2], x[..., 1::2])
    turned = first * cos - second * sin, second * cos + first * sin
    out = np.concatenate(turned, -1) if layout == "halves" else np.stack(turned, -1).reshape(x.shape)
    return out, cos, sin


def rotation_case(rng, name, batch, heads, dim, positions, theta):
    x = decimals(rng.normal(0, 1, (batch, heads, len(positions), dim)))
    halves, cos, sin = rotate(x.astype(np.float64), positions, theta, "halves")
    interleaved, _, _ = rotate(x.astype(np.float64), positions, theta, "interleaved")
    as_complex = x[..., ::2].astype(np.float64) + 1j * x[..., 1::2]
    turned = as_complex * (cos + 1j * sin)
    np.testing.assert_allclose(interleaved[..., ::2] + 1j * interleaved[..., 1::2], turned, atol=1e-12)
    return {"name": name, "theta": theta, "positions": list(positions), "input": array(x), "cos": array64(cos),
            "sin": array64(sin), "halves": array64(halves), "interleaved": array64(interleaved)}


# --- integer quantisation ----------------------------------------------------------------------------------------


def scale_up(x):
    """The smallest number >= x of 8 bits of mantissa, for x >= 0 in float32."""
    bits = F32(x).view(np.uint32)
    low = bits & np.uint32(0x7FFF)
    return (bits - low + (np.uint32(0x8000) if low else np.uint32(0))).astype(np.uint32).view(F32)


def zero_down(x):
    """The largest number <= x that is a multiple of 2^-8 and a float16 number."""
    multiple = np.floor(np.float64(x) * 256) / 256
    half = np.float16(multiple)
    if half > multiple:
        half = np.nextafter(half, np.float16(-np.inf))
    return F32(half) + F32(0)


def encode_group(x, bits, symmetric):
    """Codes [group] uint32, zero (float32, a float16 number) and scale (float32) of one group of float32 numbers.

    asymmetric: with n = 2^b - 1 - 2^-8: scale = up(max((hi / n - lo / n) + |lo / n| / 1024, max(|lo|, |hi|) / 32768)),
                zero = down(lo / scale)
    symmetric:  scale = up(max|x| / (2^(b-1) - 1)), zero = -2^(b-1)
    both:       code = clamp(rint(x / scale - zero), 0, 2^b - 1); a scale of 0 makes codes and zero 0.
    `up` rounds up to 8 bits of mantissa, `down` rounds down to a multiple of 2^-8 in float16; rint rounds halves to even. The terms
    beside the range make up for what rounding `zero` takes from the codes' range, up to 2^-8 or 2^-10 of itself.
    """
    lo, hi = x.min(), x.max()
    largest = max(abs(lo), abs(hi))
    if symmetric:
        scale = scale_up(largest / F32(2 ** (bits - 1) - 1))
    else:
        steps = F32(2**bits - 1 - 2.0**-8)
        lowest = lo / steps
        scale = scale_up(max((hi / steps - lowest) + abs(lowest) * F32(2.0**-10), largest * F32(2.0**-15)))
    if scale == 0:
        return np.zeros(x.shape, np.uint32), F32(0), scale
    zero = F32(-(2 ** (bits - 1))) if symmetric else zero_down(lo / scale)
    assert (x / scale).dtype == F32 and zero.dtype == F32
    codes = np.clip(np.rint(x / scale - zero), F32(0), F32(2**bits - 1))
    return codes.astype(np.uint32), zero, scale


def decode_group(codes, zero, scale):
    """x' = (code + zero) * scale in float32; code + zero is exact: a multiple of 2^-8 below 2^16."""
    return (codes.astype(F32) + zero) * scale


def parameter_word(zero, scale):
    """Bits 15 to 30 of the scale, then zero as float16."""
    return np.uint32((int(scale.view(np.uint32)) >> 15) << 16 | int(np.float16(zero).view(np.uint16)))


def groups_of(shape, group, axis):
    """For each group: its index into the parameters and its slice of the values."""
    batch, heads, tokens, dim = shape
    if axis == "channel":
        for b, h, t, d in np.ndindex(batch, heads, tokens // group, dim):
            yield (b, h, t, d), (b, h, slice(t * group, (t + 1) * group), d)
    else:
        for b, h, t, d in np.ndindex(batch, heads, tokens, dim // group):
            yield (b, h, t, d), (b, h, t, slice(d * group, (d + 1) * group))


def encode(x, bits, group, axis, symmetric):
    batch, heads, tokens, dim = x.shape
    divisor = (group, 1) if axis == "channel" else (1, group)
    assert tokens % divisor[0] == 0 and dim % divisor[1] == 0
    codes = np.zeros(x.shape, np.uint32)
    params = np.zeros((batch, heads, tokens // divisor[0], dim // divisor[1]), np.uint32)
    decoded = np.zeros(x.shape, F32)
    for at, where in groups_of(x.shape, group, axis):
        codes[where], zero, scale = encode_group(x[where], bits, symmetric)
        params[at] = parameter_word(zero, scale)
        decoded[where] = decode_group(codes[where], zero, scale)
        check_group(x[where], decoded[where], codes[where], zero, scale, bits)
    return pack(codes, bits), params, decoded


def check_group(x, decoded, codes, zero, scale, bits):
    assert scale.view(np.uint32) & 0x7FFF == 0 and np.float16(zero) == zero and zero * 256 % 1 == 0 and codes.max() < 2**bits
    # Half a step, and what rounding the float32 quotient and product may add to it.
    bound = 0.5 * float(scale) * (1 + 1e-6) + 2.0**-23 * np.abs(x).max()
    assert (np.abs(x.astype(np.float64) - decoded) <= bound).all()


PLANES = {8: [8], 6: [4, 2], 5: [4, 1], 4: [4], 3: [2, 1], 2: [2]}


def pack(codes, bits):
    """Planes of a row one after the other, the upper bits first. Element e of each run of 32/p channels goes to bits
    [p * e, p * (e + 1)) of one word of a plane of p bits; the last word is filled with zeros."""
    planes, left = [], bits
    for plane in PLANES[bits]:
        left -= plane
        per_word = 32 // plane
        part = (codes >> np.uint32(left)) & np.uint32(2**plane - 1)
        part = np.pad(part, [(0, 0)] * 3 + [(0, -part.shape[-1] % per_word)])
        words = part.reshape(*codes.shape[:-1], -1, per_word) << (plane * np.arange(per_word, dtype=np.uint32))
        planes.append(np.bitwise_or.reduce(words, axis=-1))
    return np.concatenate(planes, -1).astype(np.uint32)


def unpack(words, bits, dim):
    """Every channel by itself, from the definition."""
    codes = np.zeros((*words.shape[:-1], dim), np.uint32)
    for channel in range(dim):
        first = 0
        for plane in PLANES[bits]:
            word, bit = divmod(channel * plane, 32)
            part = (words[..., first + word] >> np.uint32(bit)) & np.uint32(2**plane - 1)
            codes[..., channel] = codes[..., channel] << np.uint32(plane) | part
            first += -(-dim * plane // 32)
    assert first == words.shape[-1]
    return codes


def integer_case(inputs, name, bits, group, axis, symmetric=False):
    x = inputs[name]
    codes, params, decoded = encode(x, bits, group, axis, symmetric)
    check_by_definition(codes, params, decoded, bits, group, axis)
    label = f"{name}, axis {axis}, {bits} bit, group {group}" + (", symmetric" if symmetric else "")
    return {"name": label, "input": name, "bits": bits, "group": group, "axis": axis, "symmetric": symmetric,
            "codes": array(codes.view(np.int32)), "params": array(params.view(np.int32)), "decoded": array(decoded)}


def check_by_definition(codes, params, decoded, bits, group, axis):
    """Decode once more from nothing but the packed words."""
    scale = (params >> np.uint32(16) << np.uint32(15)).view(F32)
    zero = (params & np.uint32(0xFFFF)).astype(np.uint16).view(np.float16).astype(F32)
    along = 2 if axis == "channel" else 3
    scale, zero = np.repeat(scale, group, along), np.repeat(zero, group, along)
    again = (unpack(codes, bits, decoded.shape[-1]).astype(F32) + zero) * scale
    assert again.dtype == F32 and np.array_equal(again, decoded)


def edge_groups(rng):
    """32 groups of 32 numbers, each a way to go wrong. Row order is the order of `EDGE_NAMES`."""
    steps = np.arange(32.0)
    normal = lambda: rng.normal(0, 1, 32)  # noqa: E731
    outlier = lambda value, at: np.where(steps == at, value, normal())  # noqa: E731
    rows = {
        "zeros": np.zeros(32),
        "constant 1": np.full(32, 1.0),
        "constant -3.7": np.full(32, -3.7),
        "constant 0.1": np.full(32, 0.1),
        "constant 1e30": np.full(32, 1e30),
        "constant -1e-30": np.full(32, -1e-30),
        "outlier 1e30 first": outlier(1e30, 0),
        "outlier -1e30 last": outlier(-1e30, 31),
        "outliers of both signs": np.where(steps == 5, 1e30, outlier(-1e30, 9)),
        "tiny 1e-30": normal() * 1e-30,
        "zeros but one 1e-30": np.where(steps == 17, 1e-30, 0),
        "all negative": -np.abs(normal()) - 0.25,
        "all positive": np.abs(normal()) + 0.25,
        "offset 100": 100 + normal(),
        "offset -1000, narrow": -1000 + 0.01 * normal(),
        "offset 30000, one step": 30000 + (steps % 2),
        # Quotients that end in exactly one half, scale 1: rounding to even shows.
        "halves, 8 bit": np.concatenate([[-0.5, 254.5], np.arange(30) * 7 + 0.5]),
        "halves, 4 bit": np.concatenate([[-0.5, 14.5], np.arange(30) % 14 + 0.5]),
        "halves, 2 bit": np.concatenate([[-0.5, 2.5], np.arange(30) % 2 + 0.5]),
        # Range / 15 a number of few bits, just above one, and just below a power of two.
        "scale exact, 4 bit": 1.5 * (steps % 16),
        "scale above exact, 4 bit": 1.501 * (steps % 16),
        "scale to a power of two, 4 bit": 1.999 * (steps % 16),
        "one bit of range": np.where(steps % 3 == 0, 0.5, -0.5),
        "zero is the lowest": np.abs(normal()) * (steps > 0),
        "zero is the highest": -np.abs(normal()) * (steps > 0),
    }
    for power in range(-3, 4):
        rows[f"normal, spread 10^{power}"] = normal() * 10.0**power
    return list(rows), np.stack(list(rows.values()))


# --- writing -----------------------------------------------------------------------------------------------------


def decimals(x, digits=3):
    """Numbers of few digits (short in JSON), rounded to float32."""
    return np.vectorize(lambda y: float(f"{y:.{digits}g}"))(x).astype(F32)


def number(x):
    """The shortest text that reads back as the same float32 number (or integer)."""
    if np.issubdtype(type(x), np.integer):
        return int(x)
    if x == np.floor(x) and abs(x) < 1e6:
        return int(x)
    return float(np.format_float_scientific(x, unique=True, trim="-")) if x else 0


def array(x):
    return {"shape": list(x.shape), "data": [number(y) for y in x.ravel()]}


def array64(x):
    """Float64 results to ten significant digits: far below any float32 tolerance."""
    return {"shape": list(x.shape), "data": [float(f"{y:.10g}") for y in x.ravel()]}


def partial(values):
    output, top, total = values
    return {"output": array64(output), "max": array64(top), "sum": array64(total)}


def write(path, value):
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace('},{"name"', '},\n{"name"')
    path.write_text(text + "\n")
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def attention_golden():
    rng = np.random.default_rng(20240614)
    return {
        "what": "NumPy float64 on float32 inputs, made by ops_golden.py",
        "attention": [
            attention_case(rng, "square", 1, 2, 2, 5, 5, 8),
            attention_case(rng, "grouped, with a past", 2, 6, 2, 3, 7, 8),
            attention_case(rng, "one query", 1, 4, 1, 1, 33, 16),
            attention_case(rng, "values of another dim", 1, 4, 2, 4, 9, 8, dim_v=5),
            attention_case(rng, "one token", 1, 1, 1, 1, 1, 4),
            attention_case(rng, "large scores", 1, 2, 1, 4, 6, 8, spread=12.0),
            attention_case(rng, "rows that see nothing give 0", 1, 2, 1, 5, 3, 4),
        ],
        "rotation": [
            rotation_case(rng, "from zero", 1, 2, 8, list(range(6)), 10000),
            rotation_case(rng, "scattered positions, batch of 2", 2, 2, 16, [0, 3, 4, 17, 255], 10000),
            rotation_case(rng, "far positions, theta 500000", 1, 1, 16, [1, 2047, 8191], 500000),
        ],
        "merge": [
            merge_case(rng, "equal heads", 1, 2, 2, 3, 5, 8, 1.0),
            merge_case(rng, "grouped, batch of 2", 2, 4, 2, 2, 6, 8, 1.0),
            merge_case(rng, "maxima far apart", 1, 2, 1, 3, 4, 8, 12.0),
        ],
    }


def integer_golden():
    rng = np.random.default_rng(20240615)
    names, edges = edge_groups(rng)
    edges = decimals(edges, 5)
    inputs = {
        "edges by token": edges[None, None],
        "edges by channel": np.ascontiguousarray(edges.T)[None, None],
        "normal tall": decimals(rng.normal(0, 1, (2, 1, 64, 16))),
        "normal wide": decimals(rng.normal(0.5, 2, (2, 2, 3, 64))),
        "normal deep": decimals(rng.normal(0, 1, (1, 1, 64, 16)) + rng.normal(0, 5, 16)),
    }
    cases = [
        *[integer_case(inputs, "edges by token", bits, 32, "token") for bits in (8, 4, 2)],
        *[integer_case(inputs, "edges by token", bits, 32, "token", symmetric=True) for bits in (8, 2)],
        *[integer_case(inputs, "edges by channel", bits, 32, "channel") for bits in (8, 2)],
        integer_case(inputs, "edges by channel", 4, 32, "channel", symmetric=True),
        *[integer_case(inputs, "normal wide", bits, 32, "token") for bits in (8, 4, 2)],
        integer_case(inputs, "normal wide", 4, 64, "token"),
        integer_case(inputs, "normal tall", 4, 32, "channel"),
        integer_case(inputs, "normal deep", 2, 64, "channel"),
        *[integer_case(inputs, "edges by token", bits, 32, "token") for bits in (6, 5, 3)],
        integer_case(inputs, "edges by token", 3, 32, "token", symmetric=True),
        *[integer_case(inputs, "normal wide", bits, 32, "token") for bits in (6, 5, 3)],
        *[integer_case(inputs, "normal deep", bits, 32, "channel") for bits in (6, 5, 3)],
    ]
    return {
        "what": "NumPy float32, every step, made by ops_golden.py",
        "format": "params word = bits 15 to 30 of the scale << 16 | float16 bits of zero; x' = (code + zero) * scale",
        "edgeGroups": names,
        "inputs": {name: array(x) for name, x in inputs.items()},
        "cases": cases,
    }


if __name__ == "__main__":
    write(HERE / "attention.json", attention_golden())
    write(HERE / "integer.json", integer_golden())
