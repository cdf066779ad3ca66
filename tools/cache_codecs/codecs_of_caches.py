"""The arithmetic of published codecs of caches. Each takes and gives float32 [heads, tokens, dim]; what it stores beside its codes is rounded
to float16, as these codecs store it."""

import numpy as np


def as_stored(x):
    """Rounded to float16."""
    return x.astype(np.float16).astype(np.float32)


class Exact:
    """float32."""

    bits = 32

    def decode(self, x):
        return x


class MinMax:
    """Codes between the minimum and the maximum of a group (KIVI, Liu et al., 2024, arXiv 2402.02750).

    scale = (max - min) / (2^bits - 1); code = round((x - min) / scale); x' = code scale + min. A group is `size` consecutive channels of a
    token, or `size` consecutive tokens of a channel.
    """

    def __init__(self, bits, size, axis):
        self.levels, self.size, self.axis = 2**bits - 1, size, axis
        self.bits = bits + 2 * 16 / size

    def decode(self, x):
        groups, axis = grouped(x, self.size, self.axis)
        low = as_stored(groups.min(axis, keepdims=True))
        scale = as_stored((groups.max(axis, keepdims=True) - low) / self.levels)
        codes = np.clip(np.rint((groups - low) / nonzero(scale)), 0, self.levels)
        return (codes * scale + low).reshape(x.shape)


class EigenkvInteger(MinMax):
    """The codec `integer` of eigenkv, for a check of both: x' = (code + zero) scale, with a scale of 9 bits of mantissa and a zero in float16,
    a multiple of 1/256 (ops/integer/reference.ts)."""

    def decode(self, x):
        groups, axis = grouped(x, self.size, self.axis)
        low, high = groups.min(axis, keepdims=True), groups.max(axis, keepdims=True)
        steps = np.float32(self.levels - 2**-8)
        needed = np.maximum((high - low + np.abs(low) / 1024) / steps, np.maximum(np.abs(low), np.abs(high)) / 32768)
        scale = nonzero(((needed.astype(np.float32).view(np.int32) + 0x7FFF) & 0x7FFF8000).view(np.float32))
        unit = np.maximum(np.exp2(np.floor(np.log2(nonzero(np.abs(low / scale))))) / 1024, 1 / 256).astype(np.float32)
        zero = np.floor(low / scale / unit) * unit
        codes = np.clip(np.rint(groups / scale - zero), 0, self.levels)
        return ((codes + zero) * scale).reshape(x.shape)


class Quanto(MinMax):
    """optimum-quanto 0.2.7's `MaxOptimizer` and `quantize_affine`, as `QuantoQuantizedLayer` of transformers calls them with axis 0: groups of
    channels of a token with a scale and a shift, x' = code scale - shift, the arithmetic of `MinMax`."""

    def __init__(self, bits, size=64):
        super().__init__(bits, size, "token")


class Hqq:
    """HQQ 0.2.8 (Badri and Shaji, 2023) as `HQQQuantizedLayer` of transformers calls it with axis 1: groups of channels of a token.

    Codes are round(x scale + zero), x' = (code - zero) / scale. Zeros are refined by at most 20 steps of a half-quadratic solver of
    min |x - x'|^0.7, as long as the mean error over all groups falls.
    """

    iterations, norm, beta = 20, np.float32(0.7), np.float32(10)

    def __init__(self, bits, size=64):
        self.levels, self.size = 2**bits - 1, size
        self.bits = bits + 2 * 16 / size

    def decode(self, x):
        groups, axis = grouped(x, self.size, "token")
        low = groups.min(axis, keepdims=True)
        spread = groups.max(axis, keepdims=True) - low
        scale = np.minimum(np.where(spread <= 1e-4, 1, self.levels / nonzero(spread)), 2e4).astype(np.float32)
        zero = self._refined(groups, scale, -low * scale, axis)
        codes = self._codes(groups, scale, zero)
        return ((codes - as_stored(zero)) * as_stored(1 / scale)).reshape(x.shape)

    def _codes(self, groups, scale, zero):
        return np.clip(np.rint(groups * scale + zero), 0, self.levels)

    def _refined(self, groups, scale, zero, axis):
        least = np.inf
        for _ in range(self.iterations):
            codes = self._codes(groups, scale, zero)
            error = groups - (codes - zero) / scale
            size = np.abs(error)
            with np.errstate(divide="ignore"):  # 0^-0.3 is infinite: nothing is left of an error of 0
                shrunk = np.sign(error) * np.maximum(size - size ** (self.norm - 1) / self.beta, 0)
            zero = (codes - (groups - shrunk) * scale).mean(axis, keepdims=True)
            mean_error = size.mean()
            if mean_error >= least:
                break
            least = mean_error
        return zero


class Q4_0:
    """llama.cpp's q4_0: blocks of 32 channels of a token; scale = x of the largest magnitude / -8, codes 0 to 15 around 8."""

    bits = 4 + 16 / 32

    def decode(self, x):
        blocks, axis = grouped(x, 32, "token")
        farthest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis, keepdims=True), axis)
        scale = farthest / -8
        codes = np.minimum(np.floor(blocks / nonzero(scale) + 8.5), 15)
        return ((codes - 8) * as_stored(scale)).reshape(x.shape)


class Q8_0:
    """llama.cpp's q8_0: blocks of 32 channels of a token; scale = largest magnitude / 127."""

    bits = 8 + 16 / 32

    def decode(self, x):
        blocks, axis = grouped(x, 32, "token")
        scale = np.abs(blocks).max(axis, keepdims=True) / 127
        return (np.rint(blocks / nonzero(scale)) * as_stored(scale)).reshape(x.shape)


class Rotated:
    """Another codec in the basis of an orthogonal matrix [dim, dim]."""

    def __init__(self, codec, matrix):
        self.codec, self.matrix = codec, matrix
        self.bits = codec.bits

    def decode(self, x):
        return self.codec.decode(x @ self.matrix) @ self.matrix.T


class LloydMax:
    """Lloyd-Max codes for a standard normal number, scaled by the root mean square of a token's channels: what TurboQuant (Zandieh et al., 2025,
    arXiv 2504.19874) does in a randomly rotated basis, without its additional bit for unbiased products."""

    def __init__(self, bits, dim):
        self.levels = lloyd_max_levels(2**bits)
        self.limits = (self.levels[1:] + self.levels[:-1]) / 2
        self.bits = bits + 16 / dim

    def decode(self, x):
        scale = np.sqrt((x * x).mean(-1, keepdims=True))
        return self.levels[np.searchsorted(self.limits, x / nonzero(scale))] * as_stored(scale)


def grouped(x, size, axis):
    """x with its groups along an axis of their own, and that axis. `axis` says in what a group lies: a "token" or a "channel"."""
    heads, tokens, dim = x.shape
    if axis == "token":
        return x.reshape(heads, tokens, dim // size, size), 3
    return x.reshape(heads, tokens // size, size, dim), 2


def nonzero(scale):
    """A divisor: the codes of a group of zeros do not matter."""
    return np.where(scale == 0, np.float32(1), scale)


def hadamard(dim):
    """The orthonormal Hadamard matrix of a power of two."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < dim:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.float32(np.sqrt(dim))


def random_rotation(dim, seed):
    """A random orthogonal matrix, uniformly distributed."""
    matrix, triangle = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))
    return (matrix * np.sign(np.diag(triangle))).astype(np.float32)


def lloyd_max_levels(count):
    """The levels of least mean squared error for a standard normal number, by Lloyd's iteration on a fine grid."""
    grid = np.linspace(-8, 8, 400001)
    density = np.exp(-grid * grid / 2)
    mass, first = (np.r_[0, np.cumsum(part)] for part in (density, density * grid))
    levels = np.linspace(-2, 2, count)
    for _ in range(20000):
        cells = np.r_[0, np.searchsorted(grid, (levels[1:] + levels[:-1]) / 2), len(grid)]
        moved = np.diff(first[cells]) / np.diff(mass[cells])
        if np.abs(moved - levels).max() < 1e-7:
            break
        levels = moved
    return ((levels - levels[::-1]) / 2).astype(np.float32)
