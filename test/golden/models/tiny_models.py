"""Makes tiny/: small random-weight models as folders of config.json, model.safetensors (float32) and golden.json, and
rope_frequencies.json: the rotation's frequencies of real models' settings.

    python tiny_models.py

Needs numpy, safetensors. check_with_transformers.py then holds all of it against Hugging Face's own code.
Every golden.json has `ids`, float64 `logits` of all positions, `meanNll` in nats a token, and `sensitivity`: by how
much the logits would be off (the largest error) if a loader got one thing wrong. All are above 1e-3, so a test at 1e-3
sees each of them, and one at 1e-4 with a margin (the smallest is GPT-2's gelu: tanh or erf, 2e-3).
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import gpt2_forward
import llama_forward
from llama_forward import LlamaConfig, mean_nll, rope_frequencies

HERE = Path(__file__).parent
VOCAB, TOKENS = 61, 40

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}
# Two heads of 16 and a base of 100: eight pairs, of which each rule of scaling leaves some and changes some.
WIDE_HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "rope_theta": 100.0}
LLAMAS = {
    "qwen2": {
        **{key: LLAMA[key] for key in LLAMA if key not in ("attention_bias", "mlp_bias")},
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "num_hidden_layers": 3,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": 3,
    },
    "llama_biases": {**LLAMA, "attention_bias": True, "mlp_bias": True},
    "llama_rope_llama3": {
        **LLAMA,
        **WIDE_HEADS,
        "tie_word_embeddings": True,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
    # "type" is the older spelling of "rope_type"; files on the hub have either.
    "llama_rope_linear": {**LLAMA, **WIDE_HEADS, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "llama_rope_yarn": {
        **LLAMA,
        **WIDE_HEADS,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    },
}
GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "vocab_size": VOCAB,
    "n_positions": 48,
    "n_ctx": 48,
    "n_embd": 48,
    "n_layer": 3,
    "n_head": 4,
    "layer_norm_epsilon": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}


class Weights(dict):
    """Draws float32 tensors large enough that every one of them shows in the logits."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def draw(self, name, shape, spread, centre=0.0):
        self[name] = (centre + self.rng.normal(0, spread, shape)).astype(np.float32)

    def linear(self, name, out, into, bias):
        self.draw(f"{name}.weight", (out, into), 1.2 / np.sqrt(into))
        if bias:
            self.draw(f"{name}.bias", out, 0.3)


def draw_llama(keys, seed):
    weights = Weights(seed)
    width, inner = keys["hidden_size"], keys["intermediate_size"]
    dim = width // keys["num_attention_heads"]
    qkv_bias = keys["model_type"] == "qwen2" or keys["attention_bias"]
    out_bias, mlp_bias = keys.get("attention_bias", False), keys.get("mlp_bias", False)
    weights.draw("model.embed_tokens.weight", (VOCAB, width), 0.5)
    for depth in range(keys["num_hidden_layers"]):
        block = f"model.layers.{depth}"
        weights.draw(f"{block}.input_layernorm.weight", width, 0.2, 1.0)
        weights.linear(f"{block}.self_attn.q_proj", width, width, qkv_bias)
        weights.linear(f"{block}.self_attn.k_proj", keys["num_key_value_heads"] * dim, width, qkv_bias)
        weights.linear(f"{block}.self_attn.v_proj", keys["num_key_value_heads"] * dim, width, qkv_bias)
        weights.linear(f"{block}.self_attn.o_proj", width, width, out_bias)
        weights.draw(f"{block}.post_attention_layernorm.weight", width, 0.2, 1.0)
        weights.linear(f"{block}.mlp.gate_proj", inner, width, mlp_bias)
        weights.linear(f"{block}.mlp.up_proj", inner, width, mlp_bias)
        weights.linear(f"{block}.mlp.down_proj", width, inner, mlp_bias)
    weights.draw("model.norm.weight", width, 0.2, 1.0)
    if not keys["tie_word_embeddings"]:
        weights.draw("lm_head.weight", (VOCAB, width), 0.5)
    return weights


def llama_folder(name, keys, seed):
    folder = write_model(name, keys, draw_llama(keys, seed))
    config, weights = llama_forward.load(folder)
    ids = np.random.default_rng(seed + 1).integers(3, VOCAB, TOKENS).tolist()
    logits = llama_forward.forward(config, weights, ids)

    def error_if(wrong_config=config, wrong_weights=weights):
        return np.abs(llama_forward.forward(wrong_config, wrong_weights, ids) - logits).max()

    sensitivity = {
        "pairs rotated interleaved": error_if(replace(config, rotation="interleaved")),
        "theta off by 1 %": error_if(replace(config, theta=config.theta * 1.01)),
        "epsilon 1e-3": error_if(replace(config, epsilon=1e-3)),
    }
    if keys.get("rope_scaling"):
        sensitivity["no rope_scaling"] = error_if(replace(config, rope_scaling={}))
    if (keys.get("rope_scaling") or {}).get("rope_type") == "yarn":
        sensitivity["no yarn amplitude"] = error_if(
            replace(config, rope_scaling={**keys["rope_scaling"], "attention_factor": 1.0})
        )
    for kind in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"):
        without = {key: value for key, value in weights.items() if not key.endswith(f"{kind}.bias")}
        if len(without) < len(weights):
            sensitivity[f"no {kind} bias"] = error_if(wrong_weights=without)
    if "lm_head.weight" in weights:
        sensitivity["head tied"] = error_if(wrong_weights={k: v for k, v in weights.items() if k != "lm_head.weight"})
    write_golden(folder, ids, logits, sensitivity)


def gpt2_folder(name, keys, seed):
    weights = Weights(seed)
    width = keys["n_embd"]
    weights.draw("wte.weight", (VOCAB, width), 0.5)
    weights.draw("wpe.weight", (keys["n_positions"], width), 0.5)
    for depth in range(keys["n_layer"]):
        block = f"h.{depth}"
        # The hub's file carries the causal mask as a tensor; a loader leaves it aside.
        weights[f"{block}.attn.bias"] = np.tril(np.ones((1, 1, keys["n_ctx"], keys["n_ctx"]), np.float32))
        for norm in ("ln_1", "ln_2"):
            draw_norm(weights, f"{block}.{norm}", width)
        for linear, into, out in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, 4 * width),
            ("mlp.c_proj", 4 * width, width),
        ):
            weights.draw(f"{block}.{linear}.weight", (into, out), 1.2 / np.sqrt(into))
            weights.draw(f"{block}.{linear}.bias", out, 0.3)
    draw_norm(weights, "ln_f", width)
    folder = write_model(name, keys, weights)
    ids = np.random.default_rng(seed + 1).integers(3, VOCAB, TOKENS).tolist()
    logits = gpt2_forward.forward(keys, weights, ids)

    def error_if(wrong_keys=keys, wrong_weights=weights):
        return np.abs(gpt2_forward.forward(wrong_keys, wrong_weights, ids) - logits).max()

    erf_gelu = np.vectorize(lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))))
    tanh_gelu, gpt2_forward.gelu_new = gpt2_forward.gelu_new, erf_gelu
    exact_gelu = error_if()
    gpt2_forward.gelu_new = tanh_gelu
    square = {key: value.T if key.endswith("attn.c_proj.weight") else value for key, value in weights.items()}
    sensitivity = {
        "erf gelu": exact_gelu,
        "epsilon 1e-3": error_if({**keys, "layer_norm_epsilon": 1e-3}),
        "attn.c_proj transposed": error_if(wrong_weights=square),
        "no positions": error_if(wrong_weights={**weights, "wpe.weight": 0 * weights["wpe.weight"]}),
    }
    write_golden(folder, ids, logits, sensitivity)


def draw_norm(weights, name, width):
    weights.draw(f"{name}.weight", width, 0.2, 1.0)
    weights.draw(f"{name}.bias", width, 0.2)


def frequency_table():
    """Settings like those of the named models (typed in, not read from their files); the last two are ours."""
    cases = {
        "Llama-2-7b": (128, 10000.0, 4096, {}),
        "Llama-3.1-8B": (128, 500000.0, 131072, {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}),
        "Llama-3.2-1B": (64, 500000.0, 131072, {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}),
        "Qwen2.5-7B with yarn": (128, 1000000.0, 131072, {"rope_type": "yarn", "factor": 4.0,
                                 "original_max_position_embeddings": 32768}),
        "linear 4": (64, 10000.0, 8192, {"rope_type": "linear", "factor": 4.0}),
        "dynamic 2, held at 8192 tokens": (64, 10000.0, 8192, {"rope_type": "dynamic", "factor": 2.0,
                                           "original_max_position_embeddings": 2048}),
    }
    rows = []
    for name, (dim, theta, context, scaling) in cases.items():
        frequencies, amplitude = rope_frequencies(dim, theta, context, scaling)
        rows.append({"name": name, "dim": dim, "rope_theta": theta, "max_position_embeddings": context,
                     "rope_scaling": scaling or None, "amplitude": amplitude, "frequencies": digits(frequencies)})
    what = "radians a token of pair i, float64, made by tiny_models.py; amplitude multiplies cos and sin"
    text = json.dumps({"what": what, "cases": rows}, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (HERE / "rope_frequencies.json").write_text(text + "\n")


# --- writing -----------------------------------------------------------------------------------------------------


def write_model(name, keys, weights):
    folder = HERE / "tiny" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(keys, indent=2) + "\n")
    save_file(dict(weights), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_golden(folder, ids, logits, sensitivity):
    print(f"{folder.name}: " + ", ".join(f"{what} {error:.2g}" for what, error in sensitivity.items()))
    assert min(sensitivity.values()) > 1e-3, "a mistake would not show"
    golden = {
        "what": "NumPy float64 forward pass over the float32 weights, made by tiny_models.py",
        "ids": ids,
        "meanNll": mean_nll(logits, ids),
        "sensitivity": {what: float(f"{error:.2g}") for what, error in sensitivity.items()},
        "logits": {"shape": list(logits.shape), "data": digits(logits)},
    }
    (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")).replace(',"', ',\n"') + "\n")


def digits(x):
    return [float(f"{y:.10g}") for y in np.ravel(x)]


if __name__ == "__main__":
    gpt2_folder("gpt2", GPT2, 100)
    for index, (name, keys) in enumerate(LLAMAS.items()):
        llama_folder(name, keys, 200 + 10 * index)
    frequency_table()
