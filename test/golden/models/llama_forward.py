"""A Llama-family forward pass in NumPy, independent of the package: what its loaders and layers are compared with.

Written from the published descriptions: Touvron et al. 2023 (arXiv 2302.13971, 2307.09288) for the block,
Su et al. 2021 (2104.09864) for the rotation, Ainslie et al. 2023 (2305.13245) for grouped heads, Peng et al. 2023
(2309.00071) for YaRN, Dubey et al. 2024 (2407.21783) for Llama 3, Bai et al. 2023 (2309.16609) for Qwen.
No cache, no tiles, one sequence: plain formulas, float64 unless asked otherwise.

    python llama_forward.py FOLDER...     check the models (GGUF, or config.json + model.safetensors) of each folder
                                          against its golden.json; needs numpy, gguf, safetensors
"""

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class LlamaConfig:
    """`rotation` names the pairs that turn: 'halves' (i, i + dim/2), as files on the hub have it, or 'interleaved'
    (2i, 2i+1), as GGUF's "llama" architecture has it. `rope_scaling` has the keys of the hub's config.json."""

    depths: int
    heads: int
    kv_heads: int
    dim: int
    epsilon: float
    theta: float
    context: int
    rotation: str = "halves"
    rope_scaling: dict = field(default_factory=dict)


# --- the model ---------------------------------------------------------------------------------------------------


def forward(config, weights, ids, dtype=np.float64, start=0, attend=None):
    """Logits [tokens, vocab] of token ids [tokens]. Linear weights are [out, in]; a bias counts where there is one.

    `attend(depth, q, k, v)` may stand for plain attention, with [heads, tokens, dim] each, q and k rotated: what remembers earlier
    tokens continues a text, whose next position is `start`.
    """
    attend = attend or (lambda depth, q, k, v: causal_attention(q, k, v))
    get = {name: np.asarray(value, dtype) for name, value in weights.items()}.get

    def linear(x, name):
        y, bias = x @ get(f"{name}.weight").T, get(f"{name}.bias")
        return y if bias is None else y + bias

    def heads(x, count):
        return x.reshape(len(ids), count, config.dim).transpose(1, 0, 2)

    x = get("embed_tokens.weight")[ids]
    cos, sin = rotation_tables(config, start + np.arange(len(ids)), dtype)
    for depth in range(config.depths):
        block = f"layers.{depth}"
        h = rms_norm(x, get(f"{block}.input_layernorm.weight"), config.epsilon)
        q = rotate(heads(linear(h, f"{block}.self_attn.q_proj"), config.heads), cos, sin, config.rotation)
        k = rotate(heads(linear(h, f"{block}.self_attn.k_proj"), config.kv_heads), cos, sin, config.rotation)
        v = heads(linear(h, f"{block}.self_attn.v_proj"), config.kv_heads)
        attended = attend(depth, q, k, v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = x + linear(attended, f"{block}.self_attn.o_proj")
        h = rms_norm(x, get(f"{block}.post_attention_layernorm.weight"), config.epsilon)
        gated = silu(linear(h, f"{block}.mlp.gate_proj")) * linear(h, f"{block}.mlp.up_proj")
        x = x + linear(gated, f"{block}.mlp.down_proj")
    x = rms_norm(x, get("norm.weight"), config.epsilon)
    head = get("lm_head.weight")
    return x @ (get("embed_tokens.weight") if head is None else head).T


def causal_attention(q, k, v):
    """q [heads, tokens, dim]; k and v have as many heads or fewer, which groups share."""
    group = len(q) // len(k)
    future = np.triu(np.ones((q.shape[1], q.shape[1]), bool), 1)
    scores = q @ np.repeat(k, group, 0).transpose(0, 2, 1) / q.dtype.type(math.sqrt(q.shape[2]))
    return softmax(np.where(future, q.dtype.type(-np.inf), scores)) @ np.repeat(v, group, 0)


def rms_norm(x, weight, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + x.dtype.type(epsilon)) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def mean_nll(logits, ids):
    """Mean negative log-likelihood, nats a token, of ids[1:] each given what stands before it."""
    logits = np.asarray(logits, np.float64)[:-1]
    top = logits.max(-1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    return float((log_sum - logits[np.arange(len(logits)), ids[1:]]).mean())


# --- rotation ----------------------------------------------------------------------------------------------------


def rotation_tables(config, positions, dtype=np.float64):
    """cos, sin [tokens, dim/2] of position * frequency, times the amplitude that YaRN adds."""
    frequencies, amplitude = rope_frequencies(config.dim, config.theta, config.context, config.rope_scaling)
    angles = np.asarray(positions, np.float64)[:, None] * frequencies
    return (np.cos(angles) * amplitude).astype(dtype), (np.sin(angles) * amplitude).astype(dtype)


def rotate(x, cos, sin, rotation):
    """x [heads, tokens, dim]: (a, b) -> (a cos - b sin, b cos + a sin) for every pair."""
    half = x.shape[-1] // 2
    a, b = (x[..., :half], x[..., half:]) if rotation == "halves" else (x[..., ::2], x[..., 1::2])
    turned = a * cos - b * sin, b * cos + a * sin
    return np.concatenate(turned, -1) if rotation == "halves" else np.stack(turned, -1).reshape(x.shape)


def rope_frequencies(dim, theta, context, scaling=None):
    """Frequencies [dim/2] in radians a token, and the factor on cos and sin (1 but for YaRN).

    plain    f_i = theta^(-2i/dim)
    linear   f_i / factor
    dynamic  theta grows to theta * (factor * L / L0 - (factor - 1))^(dim / (dim - 2)): NTK-aware, held fixed at the
             length L = context, with L0 = original_max_position_embeddings (else the context: then nothing changes)
    llama3   wavelength above L0 / low: f / factor; below L0 / high: f; between: linear in L0 / wavelength
    yarn     f / factor where a frequency turns less than beta_slow times in L0 tokens, f where more than beta_fast
             times, a linear ramp over the pair index between; cos and sin grow by 0.1 ln(factor) + 1
    freqs    f_i / divisors_i, GGUF's rope_freqs.weight
    """
    scaling = scaling or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    factor = scaling.get("factor", 1.0)
    original = scaling.get("original_max_position_embeddings") or context
    pairs = np.arange(dim // 2, dtype=np.float64)
    plain = float(theta) ** (-2 * pairs / dim)
    if kind == "default":
        return plain, 1.0
    if kind == "linear":
        return plain / factor, 1.0
    if kind == "freqs":
        return plain / np.asarray(scaling["divisors"], np.float64), 1.0
    if kind == "dynamic":
        length = max(context, original)
        grown = theta * (factor * length / original - (factor - 1)) ** (dim / (dim - 2))
        return grown ** (-2 * pairs / dim), 1.0
    if kind == "llama3":
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        turns = original * plain / (2 * math.pi)  # whole turns within the original context
        smooth = np.clip((turns - low) / (high - low), 0, 1)
        return plain * (smooth + (1 - smooth) / factor), 1.0
    if kind == "yarn":
        if factor is None:
            factor = context / original

        def pair_that_turns(times):
            return dim * math.log(original / (times * 2 * math.pi)) / (2 * math.log(theta))

        low = pair_that_turns(scaling.get("beta_fast") or 32)
        high = pair_that_turns(scaling.get("beta_slow") or 1)
        if scaling.get("truncate", True):
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dim - 1)
        ramp = np.clip((pairs - low) / (high - low if high != low else 0.001), 0, 1)
        return plain * (1 - ramp + ramp / factor), yarn_amplitude(scaling, factor)
    raise ValueError(f"rope_type {kind!r}: default, linear, dynamic, llama3, yarn are known")


def yarn_amplitude(scaling, factor):
    def grown(weight):
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    if scaling.get("attention_factor") is not None:
        return scaling["attention_factor"]
    if scaling.get("mscale") and scaling.get("mscale_all_dim"):
        return grown(scaling["mscale"]) / grown(scaling["mscale_all_dim"])
    return grown(1.0)


# --- files -------------------------------------------------------------------------------------------------------


def load(path):
    """(config, weights) of a .gguf file or of a folder with config.json and model.safetensors."""
    path = Path(path)
    return load_gguf(path) if path.suffix == ".gguf" else load_safetensors(path)


def load_safetensors(folder):
    from safetensors.numpy import load_file

    keys = json.loads((folder / "config.json").read_text())
    older = {"rope_theta": keys.get("rope_theta", 10000.0), **(keys.get("rope_scaling") or {})}
    rope = keys.get("rope_parameters") or older
    config = LlamaConfig(
        depths=keys["num_hidden_layers"],
        heads=keys["num_attention_heads"],
        kv_heads=keys.get("num_key_value_heads") or keys["num_attention_heads"],
        dim=keys.get("head_dim") or keys["hidden_size"] // keys["num_attention_heads"],
        epsilon=keys["rms_norm_eps"],
        theta=rope["rope_theta"],
        context=keys["max_position_embeddings"],
        rope_scaling=rope,
    )
    tensors = load_file(folder / "model.safetensors")
    return config, {name.removeprefix("model."): value for name, value in tensors.items()}


GGUF_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
GGUF_TOP_NAMES = {"token_embd": "embed_tokens", "output_norm": "norm", "output": "lm_head"}


def load_gguf(path):
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    tensors = {t.name: dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}

    def key(name, default=None):
        found = reader.get_field(name)
        return default if found is None else found.contents()

    architecture = key("general.architecture")
    if architecture not in ("llama", "qwen2"):
        raise ValueError(f"architecture {architecture!r}: llama and qwen2 are known")
    at = f"{architecture}."
    heads, width = key(at + "attention.head_count"), key(at + "embedding_length")
    dim = key(at + "attention.key_length", width // heads)
    if key(at + "rope.dimension_count", dim) != dim:
        raise ValueError("rotation of a part of the head only is not known")
    scaling = {}
    if key(at + "rope.scaling.type", "none") != "none":
        scaling = {"rope_type": key(at + "rope.scaling.type"), "factor": key(at + "rope.scaling.factor")}
        scaling["original_max_position_embeddings"] = key(at + "rope.scaling.original_context_length")
    if "rope_freqs.weight" in tensors:
        scaling = {"rope_type": "freqs", "divisors": tensors.pop("rope_freqs.weight").tolist()}
    config = LlamaConfig(
        depths=key(at + "block_count"),
        heads=heads,
        kv_heads=key(at + "attention.head_count_kv", heads),
        dim=dim,
        epsilon=key(at + "attention.layer_norm_rms_epsilon"),
        theta=key(at + "rope.freq_base", 10000.0),
        context=key(at + "context_length"),
        rotation="interleaved" if architecture == "llama" else "halves",
        rope_scaling=scaling,
    )
    return config, {hub_name(name): value for name, value in tensors.items()}


def hub_name(name):
    parts = name.split(".")
    if parts[0] == "blk":
        return f"layers.{parts[1]}.{GGUF_NAMES[parts[2]]}.{parts[3]}"
    return f"{GGUF_TOP_NAMES[parts[0]]}.{parts[1]}"


# --- checking ----------------------------------------------------------------------------------------------------


def check(folder):
    """Compares the model in `folder` with its golden.json; returns the lines to print."""
    golden = json.loads((folder / "golden.json").read_text())
    ggufs = sorted(folder.glob("*.gguf"))
    config, weights = load(ggufs[0] if ggufs else folder)
    logits = forward(config, weights, golden["ids"])
    lines = [f"{folder.name}: |mean NLL - golden| {abs(mean_nll(logits, golden['ids']) - golden['meanNll']):.2g}"]
    if "lastLogits" in golden:
        last = np.array(golden["lastLogits"])  # of the last position that predicts a given token: ids.length - 2
        lines.append(f"  |last logits - golden| {np.abs(logits[-2, : len(last)] - last).max():.2g}")
    if "greedyIds" in golden:
        ids = list(golden["promptIds"])
        for _ in golden["greedyIds"]:
            ids.append(int(forward(config, weights, ids)[-1].argmax()))
        agree = np.equal(ids[len(golden["promptIds"]) :], golden["greedyIds"]).sum()
        lines.append(f"  greedy tokens agree {agree} of {len(golden['greedyIds'])}")
    return lines


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print("\n".join(check(Path(argument))), flush=True)
