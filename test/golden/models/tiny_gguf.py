"""Writes tiny/*/model.gguf: four of the tiny models again, as llama.cpp's converter (convert_hf_to_gguf.py) would write them.

    python tiny_gguf.py

Needs numpy, gguf, safetensors; run it after tiny_models.py. The golden logits are those of the safetensors beside them.
What the converter does, and a loader must undo or follow:

- "llama": the rows of q and k, and their biases, are permuted so that the pairs that rotate are neighbours (2i, 2i + 1);
  "qwen2" keeps them as halves (i, i + dim/2).
- GPT-2's Conv1D weights are transposed to [out, in]; q, k and v stay fused.
- Llama 3's scaling becomes a tensor of divisors, rope_freqs.weight.
- A tied head has no tensor of its own.

Each file has a SentencePiece vocabulary of 61 tokens, so that it is whole. split/ has one of them in parts, as gguf-python splits.
"""

import json
import string
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

from llama_forward import GGUF_NAMES, rope_frequencies

TINY = Path(__file__).parent / "tiny"
GPT2_NAMES = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def write_llama(name, path=None, **options):
    keys, tensors = read(name)
    kind = keys["model_type"]
    heads, kv_heads = keys["num_attention_heads"], keys["num_key_value_heads"]
    dim = keys["hidden_size"] // heads
    writer = start(name, kind, path, **options)
    writer.add_context_length(keys["max_position_embeddings"])
    writer.add_embedding_length(keys["hidden_size"])
    writer.add_block_count(keys["num_hidden_layers"])
    writer.add_feed_forward_length(keys["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(keys["rms_norm_eps"])
    writer.add_rope_freq_base(keys["rope_theta"])
    writer.add_rope_dimension_count(dim)
    writer.add_vocab_size(keys["vocab_size"])
    scaling = keys.get("rope_scaling") or {}
    if scaling.get("rope_type") == "llama3":
        context, theta = keys["max_position_embeddings"], keys["rope_theta"]
        scaled, _ = rope_frequencies(dim, theta, context, scaling)
        plain, _ = rope_frequencies(dim, theta, context)
        writer.add_tensor("rope_freqs.weight", (plain / scaled).astype(np.float32))
    hub_names = {hub: own for own, hub in GGUF_NAMES.items()}
    for hub, values in tensors.items():
        parts = hub.removeprefix("model.").split(".")
        if parts[0] != "layers":
            top = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}[parts[0]]
            writer.add_tensor(f"{top}.{parts[1]}", values)
            continue
        own = hub_names[".".join(parts[2:-1])]
        if kind == "llama" and own in ("attn_q", "attn_k"):
            values = interleaved(values, heads if own == "attn_q" else kv_heads)
        writer.add_tensor(f"blk.{parts[1]}.{own}.{parts[-1]}", np.ascontiguousarray(values))
    finish(writer)


def interleaved(values, heads):
    """Rows (head, half, pair) become (head, pair, half)."""
    rows, *rest = values.shape
    return values.reshape(heads, 2, rows // heads // 2, *rest).swapaxes(1, 2).reshape(values.shape)


def write_gpt2(name):
    keys, tensors = read(name)
    writer = start(name, "gpt2")
    writer.add_context_length(keys["n_positions"])
    writer.add_embedding_length(keys["n_embd"])
    writer.add_block_count(keys["n_layer"])
    writer.add_feed_forward_length(4 * keys["n_embd"])
    writer.add_head_count(keys["n_head"])
    writer.add_layer_norm_eps(keys["layer_norm_epsilon"])
    for hub, values in tensors.items():
        parts = hub.split(".")
        if parts[0] != "h":
            top = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}[parts[0]]
            writer.add_tensor(f"{top}.{parts[1]}", values)
        elif not hub.endswith(".attn.bias"):  # the causal mask
            own = GPT2_NAMES[".".join(parts[2:-1])]
            writer.add_tensor(f"blk.{parts[1]}.{own}.{parts[-1]}", np.ascontiguousarray(values.T))
    finish(writer)


def read(name):
    folder = TINY / name
    return json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")


def start(name, kind, path=None, **options):
    writer = gguf.GGUFWriter(path or TINY / name / "model.gguf", kind, **options)
    writer.add_name(f"tiny {name}")
    letters = string.ascii_letters + " .,!?-"
    tokens = ["<unk>", "<s>", "</s>"] + ["\u2581" if letter == " " else letter for letter in letters]
    assert len(tokens) == 61
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 3 + [-float(i) for i in range(58)])
    writer.add_token_types([2, 3, 3] + [1] * 58)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    return writer


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    write_gpt2("gpt2")
    for model in ("llama_biases", "llama_rope_llama3", "qwen2"):
        write_llama(model)
    split = TINY.parent / "split"
    split.mkdir(exist_ok=True)
    write_llama("llama_biases", split / "tiny", split_max_tensors=12)
