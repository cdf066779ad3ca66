"""Writes the checkpoint of `train.py --architecture gpt2` as a Hugging Face GPT-2 model in float32."""

import argparse
import json
import shutil
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import save_file

import gpt2
import train


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder with gpt2_prose.npz and tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    args = parser.parse_args()

    empty = gpt2.init(gpt2.CONFIG, jax.random.key(0))
    (params, _, _), meta = train.load(args.work / "gpt2_prose.npz", (empty, empty, empty))
    args.out.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in gpt2.to_tensors(params).items()}
    save_file(tensors, args.out / "model.safetensors", metadata={"format": "pt"})
    (args.out / "model.safetensors").chmod(0o644)  # safetensors writes files that only their owner reads
    (args.out / "config.json").write_text(json.dumps(gpt2.CONFIG, indent=2) + "\n")
    shutil.copyfile(args.work / "tokenizer.json", args.out / "tokenizer.json")
    print(f"step {meta['step']} of {meta['steps']}, {meta['seconds']:.0f} s of training")


if __name__ == "__main__":
    main()
