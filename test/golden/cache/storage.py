"""How tokens are stored, by the definitions: integers (KIVI, arXiv 2402.02750), float8 (arXiv 2209.05433), low rank, Lloyd-Max.

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


# --- Lloyd-Max -----------------------------------------------------------------------------------------------------

# bits: the positive half of U, the bits of the lower plane and the distance of its terms, as tools/lloyd_max_levels.py prints them;
# the mean squared error
QUANTISERS = {
    0: ([], 0, 0, 1),
    1: ([0.797884561], 0, 0, 0.363380228),
    2: ([0.452780035, 1.510417609], 0, 0, 0.117481848),
    3: ([0.537220285, 1.439284433], 1, 1.49630815, 0.0352671311),
    4: ([0.12839503, 0.3880483, 0.656759119, 0.942340457, 1.256231197, 1.618046386, 2.069017227, 2.732589571], 0, 0, 0.00950100801),
    5: ([0.063121805, 0.189681236, 0.824484898, 0.983278844, 1.150252903, 1.837540241, 2.079790955, 2.955801161],
        1, 0.495242409, 0.0025638632),
    6: ([0.077986114, 0.266776961, 0.424553753, 0.725150413, 1.064971063, 1.265271134, 1.836119666, 2.412894527],
        2, 0.920339114, 0.000701340399),
    8: ([0.35720486, 0.507012457, 0.548438328, 0.611364804, 0.693177451, 1.02287552, 1.354015134, 2.358899932],
        4, 0.294987043, 4.79933749e-5),
}
WIDTHS = np.array(list(QUANTISERS))
DISTORTIONS = np.array([quantiser[3] for quantiser in QUANTISERS.values()])
LEVEL_UNIT = 2.0**-10


def levels_of(bits):
    """U[upper] + (lower - (2^lowerBits - 1) / 2) delta, ascending. U is a multiple of 2^-10 and delta of twice that; U is stretched
    as delta is."""
    half, lower_bits, delta, _ = QUANTISERS[bits]
    if bits == 0:
        return np.zeros(1)
    step = np.rint(delta / (2 * LEVEL_UNIT)) * 2 * LEVEL_UNIT
    upper = np.rint(np.array(half) * (step / delta if delta else 1) / LEVEL_UNIT) * LEVEL_UNIT
    lower = (np.arange(2**lower_bits) - (2**lower_bits - 1) / 2) * step
    return np.sort((np.concatenate([-upper, upper])[:, None] + lower).ravel())


def nearest_level(x, bits, noise):
    levels = levels_of(bits)
    middles = (levels[1:] + levels[:-1]) / 2
    if bits > 0:
        expect_clear(np.abs(x[:, None] - middles).min(-1), noise, "a level")
    return levels[np.searchsorted(middles, x)]


def nearest_scale(scale, noise):
    """2^((e - 40) / 8), e from 0 to 63."""
    exponent = np.clip(40 + 8 * np.log2(scale), 0, 63)
    return 2 ** ((rint(exponent, 12 * noise / scale, "a scale") - 40) / 8)


def lloyd_max(z, widths, noise):
    """z [tokens, channels], each group of 8 with its width: what codes decode to.

    The scale of a token is the root mean square of its channels that have bits first, then the best factor of the levels found by it.
    """
    bits = np.repeat(widths, 8)
    coded = bits > 0
    decoded = np.zeros(z.shape)
    if not coded.any():
        return decoded

    def levels_at(row, scale):
        return np.concatenate([nearest_level(row[8 * at : 8 * at + 8] / scale, width, noise / scale) for at, width in enumerate(widths)])

    for token, row in enumerate(z):
        first = levels_at(row, nearest_scale(np.sqrt((row[coded] ** 2).mean()), noise))
        scale = nearest_scale((row[coded] @ first[coded]) / (first[coded] @ first[coded]), noise)
        decoded[token] = levels_at(row, scale) * scale
    return decoded


def widths_of(weights, total, counts=1):
    """Of each set of `counts` groups, the width: least sum of weight * distortion with `total` bits together, by Lagrange's multiplier."""
    counts = np.broadcast_to(counts, weights.shape)

    def best(multiplier):
        return WIDTHS[(weights[:, None] * DISTORTIONS + multiplier * counts[:, None] * WIDTHS).argmin(1)]

    low, high = 1e-15, 1e9
    for _ in range(200):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if counts @ best(middle) > total else (low, middle)
    widths = best(high)
    if counts @ widths != total:
        raise Unclear("widths")  # no multiplier gives this total
    return widths


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
