"""Golden values for the policies and codecs of cache/, in NumPy, independent of the package.

Run from this folder:  python cache_golden.py
Needs NumPy only (made with 2.4.6; takes some two minutes). Writes precision.json, eviction.json, keepers.json and low_rank.json: what each
policy makes of a text, float64 to 7 digits. And codecs.json: codes, parameters and scales, to be met bit for bit. text.py
makes the texts; storage.py, codecs_by_definition.py, policies.py, keepers.py and refit.py hold the definitions.

    python cache_golden.py keepers.json     # only that file

Decisions (which token goes, which code, which level) are discrete: the seed of each text is the first with which none lies
within float32 rounding of a tie.
"""

import json
import sys
from pathlib import Path

import numpy as np

from codecs_by_definition import codecs_golden, digits, first_clear
from keepers import KEEPERS
from policies import POLICIES, run
from text import DIM, Text, stream

HERE = Path(__file__).parent

# --- policies ------------------------------------------------------------------------------------------------------

CHUNKS = [6, 1, 1, 13, 1, 1, 1, 1, 20, 1, 2, 1, 1, 7, *[1] * 15]
LONG_CHUNKS = [40, 1, 1, 1, 33, 1, 25, 1, 1, 29, 1, 2, 1, 20, 1, 1, 1, 1, 12, 1, 1, 1, 1]
SIGNS = [1 if next(numbers) < 0.5 else -1 for numbers in [stream(7)] for _ in range(DIM)]

CASES = {
    "precision.json": [
        ("full", {}, 100),
        ("full", {}, None),
        ("quantized", {"groupSize": 8, "residual": 5}, 100),
        ("quantized", {"keyBits": 8, "valueBits": 4, "groupSize": 4, "residual": 0}, None),
        ("quantized", {"bits": 2, "groupSize": 3, "residual": 5}, 100),
        ("quantized", {"bits": 4, "keyAxis": "token", "groupSize": 16, "residual": 3, "center": True, "rotate": True}, 100),
        ("quantized", {"keyBits": 5, "valueBits": 3, "groupSize": 8, "residual": 5}, None),
        ("quantized", {"bits": 4, "valueAxis": "channel", "groupSize": 8, "residual": 9, "symmetric": True}, None),
        ("float8", {"residual": 4}, 100),
        ("float8", {"format": "e5m2", "residual": 0}, None),
        ("adaptive", {"tolerance": 0.25, "residual": 4, "groupSize": 4}, 100),
        ("adaptive", {"tolerance": 0.03, "residual": 4, "groupSize": 16}, 100),
        ("adaptive", {"tolerance": 0.003, "residual": 1, "groupSize": 16}, None),
    ],
    "eviction.json": [
        ("sliding", {"window": 12, "sinks": 3}, 100),
        ("sliding", {"window": 40, "sinks": 0}, None),
        ("h2o", {"heavyBudget": 8, "recentBudget": 6, "sinks": 3, "normalize": False}, 100),
        ("h2o", {"heavyBudget": 40, "recentBudget": 9, "sinks": 0}, 100),
        ("h2o", {"heavyBudget": 20, "recentBudget": 1, "sinks": 0, "normalize": False}, None),
        ("h2o", {"heavyBudget": 16, "recentBudget": 6, "sinks": 3, "normalize": False, "refit": True}, 100),
        ("h2o", {"heavyBudget": 24, "recentBudget": 1, "sinks": 0, "refit": True}, None),
        ("lru", {"maxCacheSize": 24, "threshold": 0.05}, 100),
        ("lru", {"maxCacheSize": 16, "threshold": 0.1}, None),
        ("lfu", {"maxCacheSize": 24, "threshold": 0.05}, 100),
        ("lfu", {"maxCacheSize": 36, "threshold": 0.03}, None),
    ],
    "keepers.json": [
        ("tova", {"budget": 16, "recent": 4}, 100),
        ("tova", {"budget": 40, "recent": 0, "sinks": 0}, None),
        ("snapKv", {"budget": 24, "recent": 8, "queries": 8}, 100),
        ("snapKv", {"budget": 24, "recent": 3, "queries": 6, "pooling": 3, "sinks": 0}, None),
        ("dropKv", {"budget": 24, "recent": 8, "queries": 8}, 100),
        ("dropKv", {"budget": 36, "recent": 2, "queries": 5, "sinks": 2, "projection": 5}, 100),
        ("dropKv", {"budget": 12, "recent": 6, "queries": 4, "sinks": 0, "projection": 6}, None),
        ("keyDiff", {"budget": 20, "recent": 4}, 100),
        ("keyDiff", {"budget": 40, "recent": 0, "sinks": 0}, None),
        ("expectedAttention", {"budget": 24, "recent": 16, "queries": 16}, 100),
        ("expectedAttention", {"budget": 12, "recent": 7, "queries": 7, "ahead": 3, "epsilon": 0, "projection": 8}, 100),
        ("expectedAttention", {"budget": 30, "recent": 12, "queries": 12, "sinks": 0, "projection": 9}, None),
        ("snapKv", {"budget": 12, "recent": 16, "queries": 8, "refit": True}, 100),
        ("keyDiff", {"budget": 16, "recent": 20, "sinks": 2, "refit": True}, None),
        ("tova", {"budget": 12, "recent": 18, "sinks": 0, "refit": True}, 100),
        ("expectedAttention", {"budget": 16, "recent": 16, "queries": 12, "ahead": 40, "projection": 8, "refit": True}, 100),
        ("dropKv", {"budget": 14, "recent": 16, "queries": 6, "refit": True}, None),
        ("snapKv", {"budget": 12, "recent": 18, "queries": 8, "refit": "leastSquares"}, 100),
        ("keyDiff", {"budget": 30, "recent": 20, "sinks": 0, "refit": "leastSquares"}, None),
    ],
    "low_rank.json": [
        ("onlineSvd", {"rank": 5, "updateFreq": 4}, 100),
        ("onlineSvd", {"rank": 3, "updateFreq": 16}, None),
        ("layered", {"shortTermSize": 8, "longTermRank": 5}, 100),
        ("layered", {"shortTermSize": 20, "longTermRank": 3, "sinks": 0}, None),
        ("layered", {"shortTermSize": 8, "longTermBits": 4, "sinks": 2}, 100),
        ("layered", {"shortTermSize": 5, "longTermRank": 4, "longTermBits": 8}, 100),
    ],
}


def policy_case(name, options, theta, seed):
    chunks = LONG_CHUNKS if name == "layered" else CHUNKS
    text = Text(seed, sum(chunks))
    projection = options.get("projection")
    given = {key: value for key, value in options.items() if key != "projection"}
    policy = KEEPERS[name](**options) if name in KEEPERS else POLICIES[name](**options)
    heads, output = run(policy, text, chunks, theta)
    difference = np.abs(output - run(POLICIES["full"](), text, chunks, theta)[1]).max()
    held = {part: [sorted(head.parts[part]) for head in heads] for part in heads[0].parts if heads[0].parts[part]}
    print(f"{name} {options}: seed {seed}, {difference:.2g} from plain attention,",
          ", ".join(f"{len(positions[0])} {part}" for part, positions in held.items()))
    result = {"name": name, "options": given, "theta": theta, "seed": seed, "chunks": chunks, "held": held,
              "sums": digits(output @ SIGNS), "last": digits(output[:, -1])}
    if projection is not None:
        result["projection"] = projection
    if ("discarded", 0) in heads[0].memory:
        result["discarded"] = {name: digits([head.memory["discarded", side] for head in heads])
                               for side, name in enumerate(("key", "value"))}
    return result


def policies_golden(cases):
    return {"what": "NumPy float64, made by cache_golden.py", "signs": SIGNS,
            "cases": [first_clear(policy_case, *case) for case in cases]}


# --- writing -------------------------------------------------------------------------------------------------------


def write(name, value):
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace('},{"name"', '},\n{"name"')
    (HERE / name).write_text(text + "\n")
    print(f"{name}: {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["codecs.json", *CASES]
    if "codecs.json" in chosen:
        write("codecs.json", codecs_golden())
    for file, cases in CASES.items():
        if file in chosen:
            write(file, policies_golden(cases))
