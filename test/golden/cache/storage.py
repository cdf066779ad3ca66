"""How tokens are stored, by the definitions: integers (KIVI, arXiv 2402.02750), float8 (arXiv 2209.05433), low rank.

Every rounding is watched. `noise` says how far float32 arithmetic may have moved a number before it is rounded here; where
a number lies that near to where the rounding changes, `Unclear` is raised, and whoever asked takes another text. So a
package that computes in float32 must come to the same codes. With noise 0 the inputs are exact, and so are ties.
"""

import numpy as np


class Unclear(Exception):
    """A decision within rounding of a tie."""


def expect_clear(distance, noise, what):
    if np.any((np.asarray(distance) <= noise) & (np.asarray(noise) > 0)):
        raise Unclear(what)


def rint(x, noise, what):
    """To the nearest whole number, halves to even."""
    expect_clear(np.abs(x - np.floor(x) - 0.5), noise, what)
    return np.rint(x)


# --- integers ------------------------------------------------------------------------------------------------------


def scale_up(x, noise):
    """The smallest number of 9 significant bits that is >= x >= 0."""
    if x == 0:
        return x
    unit = 2.0 ** (np.floor(np.log2(float(x))) - 8)
    steps = x / unit
    expect_clear(abs(steps - np.rint(steps)), noise / unit, "a scale")
    return x.dtype.type(np.ceil(steps) * unit)


def zero_down(x, noise):
    """The largest number <= x that is a multiple of 2^-8 and has 11 significant bits."""
    if x == 0:
        return x
    unit = max(2.0 ** (np.floor(np.log2(abs(float(x)))) - 10), 2.0**-8)
    steps = x / unit
    expect_clear(abs(steps - np.rint(steps)), noise / unit, "a zero point")
    return x.dtype.type(np.floor(steps) * unit)


def quantise_group(x, bits, symmetric, noise):
    """One group: codes, zero, scale, so that x ~ (code + zero) * scale."""
    largest = np.abs(x).max()
    steps = x.dtype.type(2 ** (bits - 1) - 1 if symmetric else 2**bits - 1 - 2.0**-8)
    lowest = x.min() / steps
    step = largest / steps if symmetric else max(x.max() / steps - lowest + abs(lowest) / 1024, largest / 32768)
    scale = scale_up(step, 2 * noise / float(steps))
    if scale == 0:
        return np.zeros(len(x), int), scale, scale
    wobble = noise / float(scale)
    zero = x.dtype.type(-(2 ** (bits - 1))) if symmetric else zero_down(x.min() / scale, wobble)
    codes = np.clip(rint(x / scale - zero, wobble, "a code"), 0, 2**bits - 1).astype(int)
    return codes, zero, scale


def quantise(x, bits, axis, group, symmetric=False, noise=0.0):
    """x [tokens, dim]: codes of the same shape, zeros and scales of the groups, and what they decode to.

    axis "channel": a group is `group` tokens of one channel; "token": `group` channels of one token, the last may be fewer.
    """
    x = x if noise > 0 else x.astype(np.float32)
    columns = x.T if axis == "channel" else x  # a group lies along the last axis from here
    starts = range(0, columns.shape[1], group)
    codes, decoded = np.zeros(columns.shape, int), np.zeros_like(columns)
    zeros, scales = np.zeros((2, len(columns), len(starts)), x.dtype)
    for row, numbers in enumerate(columns):
        for at, start in enumerate(starts):
            run = slice(start, start + group)
            codes[row, run], zeros[row, at], scales[row, at] = quantise_group(numbers[run], bits, symmetric, noise)
            decoded[row, run] = (codes[row, run] + zeros[row, at]) * scales[row, at]
            assert np.abs(decoded[row, run] - numbers[run]).max() <= 0.5001 * scales[row, at]
    parts = codes, zeros, scales, decoded
    return tuple(part.T for part in parts) if axis == "channel" else parts


PLANES = {8: [8], 6: [4, 2], 5: [4, 1], 4: [4], 3: [2, 1], 2: [2]}


def pack(codes, bits):
    """[tokens, dim] to signed 32-bit words: planes of some bits each, the upper bits of all codes first; in a plane consecutive
    channels from the lowest bits on, the last word filled with 0."""
    rows = []
    for row in codes:
        words, left = [], bits
        for plane in PLANES[bits]:
            left -= plane
            parts = [int(code) >> left & (1 << plane) - 1 for code in row]
            per_word = 32 // plane
            words += [sum(part << (plane * e) for e, part in enumerate(parts[at : at + per_word]))
                      for at in range(0, len(parts), per_word)]
        rows.append([word - 2**32 if word >= 2**31 else word for word in words])
    return rows


def parameter_words(zeros, scales):
    """Bits 15 to 30 of the scale, then the zero point as float16."""
    halves = zeros.astype(np.float16)
    assert np.array_equal(halves, zeros)
    words = (scales.astype(np.float32).view(np.uint32) >> 15 << 16) | halves.view(np.uint16)
    return words.astype(np.uint32).view(np.int32).tolist()


# --- float8 --------------------------------------------------------------------------------------------------------


def float8_numbers(name):
    """The finite numbers >= 0 of a format in order: their place is their code."""
    mantissa_bits, bias, last = (3, 7, 0x7E) if name == "e4m3" else (2, 15, 0x7B)
    numbers = []
    for code in range(last + 1):
        exponent, mantissa = code >> mantissa_bits, (code & (2**mantissa_bits - 1)) / 2**mantissa_bits
        numbers.append(mantissa * 2.0 ** (1 - bias) if exponent == 0 else (1 + mantissa) * 2.0 ** (exponent - bias))
    return np.array(numbers)


def float8(x, name, noise=0.0):
    """x [tokens, dim]: codes, the scale of each token, and what they decode to. Nearest, halves to the even code.

    The quotients of exact inputs are in float32, as the package promises: many are ties but for its rounding.
    """
    x = x if noise > 0 else x.astype(np.float32)
    numbers = float8_numbers(name)
    middles = (numbers[1:] + numbers[:-1]) / 2
    scales = (np.abs(x).max(1, keepdims=True) / x.dtype.type(numbers[-1])).astype(x.dtype)
    quotients = np.divide(x, scales, out=np.zeros_like(x), where=scales > 0)
    sizes = np.minimum(np.abs(quotients), numbers[-1]).astype(np.float64)
    wobble = np.divide(noise, scales, out=np.zeros_like(scales), where=scales > 0)
    if noise > 0:
        wobble = wobble + 2e-7 * sizes  # two divisions
    expect_clear(np.abs(sizes[..., None] - middles).min(-1), wobble, "a float8 code")
    below = np.searchsorted(middles, sizes, "left")  # as many middles lie below: ties are not yet up
    tie = np.isin(sizes, middles) & (below % 2 == 1)
    codes = below + tie
    signed = np.where(np.signbit(quotients), -1, 1) * numbers[codes]
    return codes + 128 * np.signbit(quotients), scales, (signed * scales).astype(x.dtype)


# --- other bases ---------------------------------------------------------------------------------------------------


def hadamard(dim):
    """Sylvester's matrix on each run of channels as long as the largest power of two that divides dim; orthonormal."""
    matrix = np.ones((1, 1))
    while dim % (2 * len(matrix)) == 0:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return np.kron(np.eye(dim // len(matrix)), matrix / np.sqrt(len(matrix)))


def right_singular(x, rank, gap=1e-3):
    """The top right singular vectors as rows; their span must be well apart from the rest of the space."""
    _, s, vt = np.linalg.svd(x, full_matrices=False)
    if rank < len(s):
        expect_clear((s[rank - 1] ** 2 - s[rank] ** 2) / s[0] ** 2, gap, "a rank")
    return vt[:rank]
