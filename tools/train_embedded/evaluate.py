"""Prints what README.md reports of the exported model: losses per source and by position, what it recalls, and sampled text."""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import export
import model
import recall_rate
import train

LENGTH, STRIDE = 1024, 256  # overlapping windows, so that each range of positions sees nearly the same tokens
RANGES = [(0, 128), (128, 384), (384, 1024)]
PROMPTS = ["In the beginning", "It was a fine morning, and Elizabeth", "The old sailor looked out over the water, and"]


def losses(evaluate, params, stream, most):
    starts = np.arange(0, len(stream) - LENGTH - 1, STRIDE)
    starts = starts[np.linspace(0, len(starts) - 1, min(most, len(starts))).astype(int)]
    return np.concatenate([np.asarray(evaluate(params, jnp.asarray(stream[s : s + LENGTH + 1][None]))) for s in starts])


def sample(params, config, tokenizer, prompt, count, temperature, seed):
    ids = tokenizer.encode(prompt).ids
    length, random = len(ids) + count, np.random.default_rng(seed)
    forward = jax.jit(lambda p, x: model.forward(p, x, config))
    while len(ids) < length:
        row = np.asarray(forward(params, jnp.asarray([ids + [0] * (length - len(ids))]))[0, len(ids) - 1]) / temperature
        weights = np.exp((row - row.max()).astype(np.float64))
        ids.append(int(random.choice(len(row), p=weights / weights.sum())))
    return tokenizer.decode(ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder with documents.json, tokens.npz, tokenizer.json")
    parser.add_argument("--model", type=Path, required=True, help="the exported model's folder")
    parser.add_argument("--windows", type=int, default=40, help="windows of each source, at most")
    args = parser.parse_args()
    params, config, tokenizer = export.load_model(args.model)
    tokens = np.load(args.work / "tokens.npz")
    evaluate = jax.jit(lambda p, w: model.token_losses(p, w, config))

    print("nats per token, windows of 1,024 tokens | " + " | ".join(f"positions {a}-{b - 1}" for a, b in RANGES))
    text = (args.model / "held_out.txt").read_text(encoding="utf-8")
    ids = np.array(tokenizer.encode(text).ids, np.int32)
    found = losses(evaluate, params, ids, 1000)
    parts = " | ".join(f"{found[:, a:b].mean():.3f}" for a, b in RANGES)
    print(f"held_out.txt: {found.mean():.3f} ({len(ids)} tokens, {len(text)} characters) | {parts}")
    for source in train.SOURCES:
        for split in ["train", "held_out"]:
            found = losses(evaluate, params, tokens[f"{split}/{source}"].astype(np.int32), args.windows)
            parts = " | ".join(f"{found[:, a:b].mean():.3f}" for a, b in RANGES)
            print(f"{source} {split}: {found.mean():.3f} ({len(found)} windows) | {parts}", flush=True)
    print("what comes again | tokens since | spans | right | nats per token")
    for kind, place, count, right, nats in recall_rate.recall_rates(params, config, train.recall_of(args.work, held_out=True), LENGTH - 1, 64):
        print(f"{kind} | up to {place} | {count} | {right:.1%} | {nats:.3f}")
    for seed, prompt in enumerate(PROMPTS):
        print(f"--- {prompt!r}, temperature 0.8, seed {seed}\n{sample(params, config, tokenizer, prompt, 120, 0.8, seed)}")


if __name__ == "__main__":
    main()
