"""Trains the embedded model, or a GPT-2 to compare with, on the CPU: AdamW, warmup and cosine, phases of growing context.

Reads tokens.npz from --work, writes a checkpoint and a log there; started again, it goes on from the checkpoint.
"""

import argparse
import json
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import gpt2
import model

# architecture -> its module, and the names of its checkpoint and log
ARCHITECTURES = {"llama": (model, "checkpoint", "log"), "gpt2": (gpt2, "gpt2", "gpt2_log")}
SEED = 1
PEAK_RATE, FINAL_RATE, WARMUP = 2e-3, 2e-5, 150
BETA1, BETA2, EPSILON, WEIGHT_DECAY, CLIP = 0.9, 0.98, 1e-8, 0.05, 1.0
STEP_TOKENS = 2048
# (end of the phase as a share of all steps, tokens per window): short windows are cheap, and most of what a small
# model learns is local; the last phases teach it the whole context.
PHASES = [(0.6, 256), (0.85, 512), (1.0, 1024)]
REPEATS = {"austen": 2, "moby_dick": 2}  # per epoch: two Bibles would else be two thirds of what it reads
SOURCES = ["kjv", "web", "austen", "moby_dick"]


def documents(tokens, split, source):
    ends = np.cumsum(tokens[f"{split}/{source}/lengths"])
    return np.split(tokens[f"{split}/{source}"], ends[:-1])


def phase_windows(docs, count, length, random):
    """count windows of length + 1 ids, in random order, from as many shuffled epochs as that takes."""
    stream, needed = [], count * length + 1
    while needed > 0:
        for i in random.permutation(len(docs)):
            stream.append(docs[i])
            needed -= len(docs[i])
            if needed <= 0:
                break
    stream = np.concatenate(stream).astype(np.int32)
    starts = random.permutation(count) * length
    return [stream[start : start + length + 1] for start in starts]


def batches(tokens, steps, context):
    """The batch of each step, the same for the same seed and number of steps."""
    random = np.random.default_rng(SEED)
    docs = [d for s in SOURCES for d in documents(tokens, "train", s) for _ in range(REPEATS.get(s, 1))]
    begin = 0
    for share, longest in PHASES:
        end, length = round(share * steps), min(longest, context)
        windows = STEP_TOKENS // length
        rows = phase_windows(docs, (end - begin) * windows, length, random)
        for i in range(end - begin):
            yield np.stack(rows[i * windows : (i + 1) * windows])
        begin = end


def learning_rate(step, steps):
    cosine = 0.5 + 0.5 * jnp.cos(jnp.pi * jnp.clip((step - WARMUP) / (steps - WARMUP), 0, 1))
    return jnp.minimum((step + 1) / WARMUP, 1) * (FINAL_RATE + (PEAK_RATE - FINAL_RATE) * cosine)


def make_update(architecture, steps):
    def update(params, mean, square, step, windows):
        loss, grads = jax.value_and_grad(lambda p: architecture.token_losses(p, windows, architecture.CONFIG).mean())(params)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
        grads = jax.tree.map(lambda g: g * jnp.minimum(1, CLIP / (norm + 1e-6)), grads)
        mean = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, mean, grads)
        square = jax.tree.map(lambda s, g: BETA2 * s + (1 - BETA2) * g * g, square, grads)
        rate, t = learning_rate(step, steps), step + 1

        def apply(path, p, m, s):
            change = m / (1 - BETA1**t) / (jnp.sqrt(s / (1 - BETA2**t)) + EPSILON)
            decay = 0 if "norm" in str(path[-1]) or "bias" in str(path[-1]) else WEIGHT_DECAY
            return p - rate * (change + decay * p)

        return jax.tree_util.tree_map_with_path(apply, params, mean, square), mean, square, loss, norm

    return jax.jit(update, donate_argnums=(0, 1, 2))


def held_out_windows(tokens, source, length, count):
    stream = tokens[f"held_out/{source}"].astype(np.int32)
    starts = np.linspace(0, len(stream) - length - 1, count).astype(int)
    return np.stack([stream[s : s + length + 1] for s in starts])


def save(path, tree, **meta):
    arrays = {jax.tree_util.keystr(k): np.asarray(v) for k, v in jax.tree_util.tree_leaves_with_path(tree)}
    np.savez(path.with_suffix(".tmp.npz"), meta=json.dumps(meta), **arrays)
    os.replace(path.with_suffix(".tmp.npz"), path)


def load(path, tree):
    with np.load(path) as stored:
        fill = lambda k, _: jnp.asarray(stored[jax.tree_util.keystr(k)])
        return jax.tree_util.tree_map_with_path(fill, tree), json.loads(str(stored["meta"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder with tokens.npz; checkpoint and log go there")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="llama")
    parser.add_argument("--steps", type=int, required=True, help="steps of 2,048 tokens")
    parser.add_argument("--checkpoint-seconds", type=float, default=180)
    args = parser.parse_args()

    architecture, checkpoint_name, log_name = ARCHITECTURES[args.architecture]
    tokens = np.load(args.work / "tokens.npz")
    params = architecture.init(architecture.CONFIG, jax.random.key(SEED))
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros, jax.tree.map(jnp.copy, zeros))
    checkpoint, first, seconds = args.work / f"{checkpoint_name}.npz", 0, 0.0
    if checkpoint.exists():
        state, meta = load(checkpoint, state)
        first, seconds = meta["step"], meta["seconds"]
    update = make_update(architecture, args.steps)
    evaluate = jax.jit(lambda p, w: architecture.token_losses(p, w, architecture.CONFIG).mean())
    held_out = {s: held_out_windows(tokens, s, 512, 8) for s in SOURCES}
    count = sum(p.size for p in jax.tree.leaves(params))
    print(f"{count} parameters, from step {first} of {args.steps}", flush=True)

    begun, saved, losses = time.time() - seconds, time.time(), []
    for step, windows in enumerate(batches(tokens, args.steps, architecture.CONTEXT)):
        if step < first:
            continue
        *state, loss, norm = update(*state, step, windows)
        losses.append(float(loss))
        done, seconds = step + 1, time.time() - begun
        if done % 50 == 0 or done == args.steps:
            row = {"step": done, "seconds": round(seconds), "loss": round(float(np.mean(losses)), 4), "norm": round(float(norm), 3)}
            if done % 400 == 0 or done == args.steps:
                row["held_out"] = {s: round(float(evaluate(state[0], w)), 4) for s, w in held_out.items()}
            with open(args.work / f"{log_name}.jsonl", "a") as log:
                log.write(json.dumps(row) + "\n")
            print(row, flush=True)
            losses = []
        if done == args.steps or time.time() - saved > args.checkpoint_seconds:
            save(checkpoint, tuple(state), step=done, steps=args.steps, seconds=seconds)
            saved = time.time()


if __name__ == "__main__":
    main()
