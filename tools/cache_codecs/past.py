"""What a cache stores of one depth, as attention reads it, with the bytes that the codes would take."""

import numpy as np


class Side:
    """The keys or the values of one depth: the first `sinks` tokens exact, then coded tokens, then exact tokens that wait.

    Rows hold what decoding gives, so a token that was coded once is read at no further cost. `codec.decode(x)` gives what coding
    makes of x [heads, tokens, dim], `codec.bits` what a number of it takes, and `schedule` says until which token to code.
    """

    def __init__(self, codec, schedule, heads, dim, capacity, sinks):
        self.codec, self.schedule, self.sinks = codec, schedule, sinks
        self.rows = np.empty((heads, capacity, dim), np.float32)
        self.tokens = 0
        self.coded_until = sinks

    def append(self, x):
        end = self.tokens + x.shape[1]
        self.rows[:, self.tokens : end] = x
        self.tokens = end
        until = self.schedule.coded_until(self.sinks, self.coded_until, end)
        if until > self.coded_until:
            start = self.sinks if self.schedule.codes_again else self.coded_until
            self.rows[:, start:until] = self.codec.decode(self.rows[:, start:until])
            self.coded_until = until

    def read(self):
        return self.rows[:, : self.tokens]

    @property
    def float32_bytes(self):
        return self._bytes_of(self.tokens, 32)

    @property
    def exact_bytes(self):
        return self._bytes_of(self.tokens - (self.coded_until - self.sinks), 32)

    @property
    def byte_size(self):
        return self.exact_bytes + self._bytes_of(self.coded_until - self.sinks, self.codec.bits)

    def _bytes_of(self, tokens, bits):
        heads, _, dim = self.rows.shape
        return tokens * heads * dim * bits / 8


class Past:
    """Keys and values of one depth."""

    def __init__(self, keys, values):
        self.keys, self.values = keys, values

    @property
    def tokens(self):
        return self.keys.tokens

    def append(self, keys, values):
        self.keys.append(keys)
        self.values.append(values)

    def read(self):
        return self.keys.read(), self.values.read()


class AtOnce:
    """Codes all tokens of a step after it."""

    codes_again = False

    def coded_until(self, sinks, coded_until, tokens):
        return tokens


class InBlocks:
    """Codes blocks of `size` tokens as they fill: KIVI's keys."""

    codes_again = False

    def __init__(self, size):
        self.size = size

    def coded_until(self, sinks, coded_until, tokens):
        return coded_until + (tokens - coded_until) // self.size * self.size


class BehindWindow:
    """Keeps the newest `size` tokens exact: KIVI's values."""

    codes_again = False

    def __init__(self, size):
        self.size = size

    def coded_until(self, sinks, coded_until, tokens):
        return max(coded_until, tokens - self.size)


class AllAgain:
    """Codes the first step after it. Later tokens wait until there are `residual` of them; then everything is decoded and coded again,
    as `QuantizedLayer` of transformers does."""

    codes_again = True

    def __init__(self, residual):
        self.residual = residual

    def coded_until(self, sinks, coded_until, tokens):
        is_first = coded_until == sinks
        return tokens if is_first or tokens - coded_until >= self.residual else coded_until
