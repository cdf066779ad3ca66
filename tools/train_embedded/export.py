"""Writes the checkpoint as a Hugging Face Llama model in float16, and golden.json with JAX's float32 results for it."""

import argparse
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

import model
import train

# model.py's name of a stacked weight -> the tensor's name within a layer; matrices are stored [out, in]
LAYER_NAMES = {
    "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
    "attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm",
}
PROMPT = "In the beginning"
GREEDY_TOKENS = 40
SEQUENCES = [("kjv", 200, [0, 1, 64, 128]), ("austen", 900, [512])]  # source, tokens, positions with logits beside the last; short, long


def to_tensors(params):
    tensors = {"model.embed_tokens.weight": params["embedding"], "model.norm.weight": params["norm"]}
    for depth in range(model.CONFIG["num_hidden_layers"]):
        for name, stored in LAYER_NAMES.items():
            weight = np.asarray(params["layers"][name][depth])
            tensors[f"model.layers.{depth}.{stored}.weight"] = weight.T if weight.ndim == 2 else weight
    return {name: np.ascontiguousarray(value, np.float16) for name, value in tensors.items()}


def from_tensors(tensors, config):
    def stack(stored):
        weights = [tensors[f"model.layers.{d}.{stored}.weight"] for d in range(config["num_hidden_layers"])]
        return jnp.asarray(np.stack([w.T if w.ndim == 2 else w for w in weights]), jnp.float32)

    return {
        "embedding": jnp.asarray(tensors["model.embed_tokens.weight"], jnp.float32),
        "norm": jnp.asarray(tensors["model.norm.weight"], jnp.float32),
        "layers": {name: stack(stored) for name, stored in LAYER_NAMES.items()},
    }


def load_model(folder):
    """The exported model as (float32 parameters of the float16 weights, config, tokenizer)."""
    config = json.loads((folder / "config.json").read_text())
    params = from_tensors(load_file(folder / "model.safetensors"), config)
    return params, config, Tokenizer.from_file(str(folder / "tokenizer.json"))


def significant(values):
    return [float(f"{v:.6g}") for v in np.asarray(values)]


def golden_sequence(params, config, tokenizer, ids, positions):
    """Loss and logits of the ids' text: teacher-forced, in one forward pass."""
    while tokenizer.encode(tokenizer.decode(ids)).ids != ids:
        ids = ids[:-1]  # the cut fell where a tokenizer would not put it
    batch = jnp.asarray([ids])
    logits = jax.jit(lambda p, x: model.forward(p, x, config))(params, batch)[0]
    losses = jax.jit(lambda p, x: model.token_losses(p, x, config))(params, batch)
    return {
        "text": tokenizer.decode(ids),
        "ids": ids,
        "meanNll": float(f"{float(losses.mean()):.8g}"),
        "lastLogits": significant(logits[-1]),
        "logits": [{"position": p, "values": significant(logits[p])} for p in positions],
    }


def golden_greedy(params, config, tokenizer, prompt):
    """Greedy tokens, and the smallest lead of the best over the second logit: how exact a match may be asked for."""
    prompt_ids = tokenizer.encode(prompt).ids
    length = len(prompt_ids) + GREEDY_TOKENS
    forward = jax.jit(lambda p, x: model.forward(p, x, config))
    ids, lead = list(prompt_ids), np.inf
    while len(ids) < length:
        padded = jnp.asarray([ids + [0] * (length - len(ids))])  # causal: padding on the right changes nothing
        row = np.asarray(forward(params, padded)[0, len(ids) - 1])
        second, first = np.sort(row)[-2:]
        lead = min(lead, first - second)
        ids.append(int(row.argmax()))
    return {
        "prompt": prompt,
        "promptIds": prompt_ids,
        "greedyIds": ids[len(prompt_ids):],
        "greedyText": tokenizer.decode(ids),
        "greedySmallestLead": float(f"{lead:.4g}"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder with the checkpoint, tokens.npz, tokenizer.json")
    parser.add_argument("--stage", choices=train.STAGES, default="recall", help="the stage whose checkpoint is exported")
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    args = parser.parse_args()

    empty = model.init(model.CONFIG, jax.random.key(0))
    (params, _, _), meta = train.load(args.work / f"llama_{args.stage}.npz", (empty, empty, empty))
    save_file(to_tensors(params), args.out / "model.safetensors", metadata={"format": "pt"})
    (args.out / "model.safetensors").chmod(0o644)  # safetensors writes files that only their owner reads
    (args.out / "config.json").write_text(json.dumps(model.CONFIG, indent=2) + "\n")
    shutil.copyfile(args.work / "tokenizer.json", args.out / "tokenizer.json")

    params, config, tokenizer = load_model(args.out)
    tokens = np.load(args.work / "tokens.npz")
    short, long = (
        golden_sequence(params, config, tokenizer, tokens[f"held_out/{source}"][:count].tolist(), positions)
        for source, count, positions in SEQUENCES
    )
    golden = {
        "what": f"JAX {jax.__version__} on CPU, float32, of the float16 weights in model.safetensors; step {meta['step']} of the stage {args.stage}",
        **golden_greedy(params, config, tokenizer, PROMPT),
        **short,
        "long": long,
    }
    (args.out / "golden.json").write_text(json.dumps(golden) + "\n")
    for name in ["config.json", "model.safetensors", "tokenizer.json", "golden.json"]:
        print(f"{name}: {(args.out / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
