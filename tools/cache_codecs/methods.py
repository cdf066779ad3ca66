"""The methods that are measured: for keys and for values a codec and when it codes."""

from dataclasses import dataclass
from typing import Any

from codecs_of_caches import EigenkvInteger, Exact, Hqq, LloydMax, MinMax, Q4_0, Q8_0, Quanto, Rotated, hadamard, random_rotation
from past import AllAgain, AtOnce, BehindWindow, InBlocks


@dataclass(frozen=True)
class Method:
    codec: str
    settings: str
    keys: tuple[Any, Any]
    values: tuple[Any, Any]


def both(codec, settings, coded, schedule=AtOnce()):
    return Method(codec, settings, (coded, schedule), (coded, schedule))


def kivi(bits, residual):
    """Keys share scales within 32 tokens of a channel, values within 32 channels of a token. `residual` tokens of the keys fill before they are
    coded; the newest `residual` values stay exact."""
    return Method(
        "KIVI",
        f"{bits} bits, groups of 32, residual {residual}",
        (MinMax(bits, 32, "channel"), InBlocks(max(residual, 32))),
        (MinMax(bits, 32, "token"), BehindWindow(residual)),
    )


def methods(dim):
    rotation = hadamard(dim)
    turbo_quant = [
        Method(
            "TurboQuant",
            f"{bits} bits",
            *((Rotated(LloydMax(bits, dim), random_rotation(dim, seed)), AtOnce()) for seed in (1, 2)),
        )
        for bits in (4, 3, 2)
    ]
    return [
        both("none", "float32", Exact()),
        both("llama.cpp", "q8_0", Q8_0()),
        both("llama.cpp", "q8_0, Hadamard", Rotated(Q8_0(), rotation)),
        *(kivi(bits, residual) for bits in (4, 2) for residual in (128, 0)),
        both("llama.cpp", "q4_0", Q4_0()),
        both("llama.cpp", "q4_0, Hadamard", Rotated(Q4_0(), rotation)),
        *turbo_quant,
        *(both("quanto", f"{bits} bits, groups of 64, residual 128", Quanto(bits), AllAgain(128)) for bits in (4, 2)),
        *(both("HQQ", f"{bits} bits, groups of 64, residual 128", Hqq(bits), AllAgain(128)) for bits in (4, 2)),
    ]


def checks():
    """What eigenkv measures too, by its own code: `quantized:bits=4,groupSize=32,residual=0` and 2 bits. Both sides wait for 32 tokens."""
    return [
        Method("check", f"quantized:bits={bits},groupSize=32,residual=0", *((EigenkvInteger(bits, 32, axis), InBlocks(32)) for axis in ("channel", "token")))
        for bits in (4, 2)
    ]
