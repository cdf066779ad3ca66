"""Trains the embedded model, or a GPT-2 to compare with, on the CPU: AdamW, warmup and cosine, phases of growing context.

Reads tokens.npz from --work, writes a checkpoint and a log there; started again, it goes on from the checkpoint. The stages after the
first begin with the weights of the one before, and a share of their windows is to be looked back at (recall.py).
"""

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

import gpt2
import guide
import model
import recall

# architecture -> its module, and the first word of the names of its checkpoints and logs
ARCHITECTURES = {"llama": (model, "llama"), "gpt2": (gpt2, "gpt2")}
TASK_WORDS = Path("/tmp/keep/embed_work/words.ts")
FINAL_RATE = 2e-5
BETA1, BETA2, EPSILON, WEIGHT_DECAY, CLIP = 0.9, 0.98, 1e-8, 0.05, 1.0
STEP_TOKENS = 2048


@dataclass
class Stage:
    """phases: (end as a share of all steps, tokens per window, share of the windows that recall.py makes). guidance: the weight of the
    loss on where heads attend (guide.py), at the first step and at the last."""

    seed: int
    peak_rate: float
    warmup: int
    phases: list
    guidance: tuple = (0, 0)


STAGES = {
    # Short windows are cheap, and most of what a small model learns is local; the last phases teach it the whole context.
    "prose": Stage(1, 2e-3, 150, [(0.6, 256, 0), (0.85, 512, 0), (1.0, 1024, 0)]),
    # Heads that look back form within short windows, if most of these have something to look back at.
    "short_recall": Stage(1, 1.5e-3, 50, [(1.0, 256, 0.6)], guidance=(0.5, 0.5)),
    # They reach further in longer windows.
    "recall": Stage(2, 2e-3, 50, [(0.2, 256, 0.6), (0.7, 512, 0.45), (1.0, 1024, 0.4)], guidance=(0.3, 0)),
}
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


def batches(tokens, steps, context, stage, recalled):
    """The windows of each step, the weights of their tokens in the loss, and which of them are copies of each other (recall.py); the same
    for the same seed and number of steps."""
    random = np.random.default_rng(stage.seed)
    docs = [d for s in SOURCES for d in documents(tokens, "train", s) for _ in range(REPEATS.get(s, 1))]
    begin = 0
    for end_share, longest, recall_share in stage.phases:
        end, length = round(end_share * steps), min(longest, context)
        windows = STEP_TOKENS // length
        rows = iter(phase_windows(docs, (end - begin) * windows, length, random))
        for _ in range(end - begin):
            made = [recalled.window(random, length) if random.random() < recall_share else None for _ in range(windows)]
            ids = [w.ids[: length + 1] if w else next(rows) for w in made]
            weights = [w.weights[1 : length + 1] if w else np.ones(length) for w in made]
            same = [w.same[: length + 1] if w else np.zeros(length + 1) for w in made]
            yield np.array(ids, np.int32), np.array(weights, np.float32), np.array(same, np.int32)
        begin = end


def learning_rate(step, steps, stage):
    cosine = 0.5 + 0.5 * jnp.cos(jnp.pi * jnp.clip((step - stage.warmup) / (steps - stage.warmup), 0, 1))
    return jnp.minimum((step + 1) / stage.warmup, 1) * (FINAL_RATE + (stage.peak_rate - FINAL_RATE) * cosine)


def make_update(architecture, steps, stage):
    def weighted_loss(params, share_done, windows, weights, same):
        if any(stage.guidance):
            losses, guided = guide.token_losses(params, windows, same, weights > recall.PROSE, architecture.CONFIG)
        else:
            losses, guided = architecture.token_losses(params, windows, architecture.CONFIG), 0.0
        loss = (weights * losses).sum() / weights.sum()
        first, last = stage.guidance
        return loss + (first + (last - first) * share_done) * guided, (loss, guided)

    def update(params, mean, square, step, windows, weights, same):
        (_, loss), grads = jax.value_and_grad(weighted_loss, has_aux=True)(params, step / steps, windows, weights, same)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
        grads = jax.tree.map(lambda g: g * jnp.minimum(1, CLIP / (norm + 1e-6)), grads)
        mean = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, mean, grads)
        square = jax.tree.map(lambda s, g: BETA2 * s + (1 - BETA2) * g * g, square, grads)
        rate, t = learning_rate(step, steps, stage), step + 1

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


def recall_of(work, documents_of="train", **options):
    texts = [d["text"] for d in json.loads((work / "documents.json").read_text()) if d["split"] == documents_of]
    return recall.Recall(texts, Tokenizer.from_file(str(work / "tokenizer.json")), recall.task_words(TASK_WORDS.read_text()), **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder with tokens.npz; checkpoint and log go there")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="llama")
    parser.add_argument("--stage", choices=STAGES, default="prose")
    parser.add_argument("--begin", type=Path, help="checkpoint of another stage, whose weights this one begins with")
    parser.add_argument("--steps", type=int, required=True, help="steps of 2,048 tokens")
    parser.add_argument("--checkpoint-seconds", type=float, default=180)
    args = parser.parse_args()

    architecture, name = ARCHITECTURES[args.architecture]
    stage = STAGES[args.stage]
    if any(stage.guidance) and architecture is not model:
        parser.error(f"the stage {args.stage} guides the heads of llama only; give --stage prose")
    tokens = np.load(args.work / "tokens.npz")
    params = architecture.init(architecture.CONFIG, jax.random.key(stage.seed))
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros, jax.tree.map(jnp.copy, zeros))
    checkpoint, first, seconds = args.work / f"{name}_{args.stage}.npz", 0, 0.0
    if checkpoint.exists():
        state, meta = load(checkpoint, state)
        first, seconds = meta["step"], meta["seconds"]
    elif args.begin:
        (params, _, _), _ = load(args.begin, state)
        state = (params, *state[1:])
    recalled = recall_of(args.work) if any(share for _, _, share in stage.phases) else None
    update = make_update(architecture, args.steps, stage)
    evaluate = jax.jit(lambda p, w: architecture.token_losses(p, w, architecture.CONFIG).mean())
    held_out = {s: held_out_windows(tokens, s, 512, 8) for s in SOURCES}
    count = sum(p.size for p in jax.tree.leaves(params))
    print(f"{count} parameters, from step {first} of {args.steps}", flush=True)

    begun, saved, losses = time.time() - seconds, time.time(), []
    for step, batch in enumerate(batches(tokens, args.steps, architecture.CONTEXT, stage, recalled)):
        if step < first:
            continue
        *state, loss, norm = update(*state, step, *batch)
        losses.append([float(part) for part in loss])
        done, seconds = step + 1, time.time() - begun
        if done % 50 == 0 or done == args.steps:
            row = {"step": done, "seconds": round(seconds), "loss": np.mean(losses, 0).round(4).tolist(), "norm": round(float(norm), 3)}
            if done % 400 == 0 or done == args.steps:
                row["held_out"] = {s: round(float(evaluate(state[0], w)), 4) for s, w in held_out.items()}
            with open(args.work / f"{name}_{args.stage}.jsonl", "a") as log:
                log.write(json.dumps(row) + "\n")
            print(row, flush=True)
            losses = []
        if done == args.steps or time.time() - saved > args.checkpoint_seconds:
            save(checkpoint, tuple(state), step=done, steps=args.steps, seconds=seconds)
            saved = time.time()


if __name__ == "__main__":
    main()
