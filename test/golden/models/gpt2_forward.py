"""A GPT-2 forward pass in NumPy (Radford et al. 2019), independent of the package. Float64, one sequence, no cache.

Weights have the names and shapes of the hub's gpt2/model.safetensors: linear weights are [in, out] ("Conv1D").
"""

import math

import numpy as np

from llama_forward import causal_attention


def forward(keys, weights, ids, dtype=np.float64, start=0, attend=None):
    """Logits [tokens, vocab]; `keys` are those of config.json. `start` and `attend` are those of llama_forward.py."""
    attend = attend or (lambda depth, q, k, v: causal_attention(q, k, v))
    get = {name: np.asarray(value, dtype) for name, value in weights.items()}.__getitem__
    count, dim = keys["n_head"], keys["n_embd"] // keys["n_head"]

    def linear(x, name):
        return x @ get(f"{name}.weight") + get(f"{name}.bias")

    def layer_norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + keys["layer_norm_epsilon"])
        return centred / deviation * get(f"{name}.weight") + get(f"{name}.bias")

    def heads(x):
        return x.reshape(len(ids), count, dim).transpose(1, 0, 2)

    x = get("wte.weight")[ids] + get("wpe.weight")[start : start + len(ids)]
    for depth in range(keys["n_layer"]):
        block = f"h.{depth}"
        fused = linear(layer_norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn")
        q, k, v = (heads(part) for part in np.split(fused, 3, axis=-1))
        attended = attend(depth, q, k, v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = x + linear(attended, f"{block}.attn.c_proj")
        h = gelu_new(linear(layer_norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc"))
        x = x + linear(h, f"{block}.mlp.c_proj")
    return layer_norm(x, "ln_f") @ get("wte.weight").T


def gelu_new(x):
    """The tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
