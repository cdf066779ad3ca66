"""A GPT-2 for comparison, in JAX: learned positions and no rotation. Weights are [in, out], as GPT-2's files have them too."""

import jax
import jax.numpy as jnp

import model

CONFIG = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "vocab_size": 2048,
    "n_embd": 128,
    "n_layer": 6,
    "n_head": 4,
    "n_positions": 512,
    "n_ctx": 512,
    "n_inner": 512,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}
CONTEXT = CONFIG["n_positions"]
# name here -> the tensor's name within a layer
LAYER_NAMES = {
    "qkv": "attn.c_attn.weight", "qkv_bias": "attn.c_attn.bias", "o": "attn.c_proj.weight", "o_bias": "attn.c_proj.bias",
    "up": "mlp.c_fc.weight", "up_bias": "mlp.c_fc.bias", "down": "mlp.c_proj.weight", "down_bias": "mlp.c_proj.bias",
    "attention_norm": "ln_1.weight", "attention_norm_bias": "ln_1.bias",
    "mlp_norm": "ln_2.weight", "mlp_norm_bias": "ln_2.bias",
}


def init(config, key):
    """Float32 parameters; those of all depths are stacked along a leading axis."""
    depths, hidden, inner = config["n_layer"], config["n_embd"], config["n_inner"]
    shapes = {"qkv": (hidden, 3 * hidden), "o": (hidden, hidden), "up": (hidden, inner), "down": (inner, hidden)}
    keys = jax.random.split(key, len(shapes) + 2)
    scale = {name: shape[0] ** -0.5 for name, shape in shapes.items()}
    for name in ("o", "down"):  # these write to the residual stream, 2 * depths times over
        scale[name] *= (2 * depths) ** -0.5
    layers = {n: scale[n] * jax.random.normal(k, (depths, *shapes[n])) for n, k in zip(shapes, keys)}
    layers |= {f"{n}_bias": jnp.zeros((depths, shape[1])) for n, shape in shapes.items()}
    for norm in ("attention_norm", "mlp_norm"):
        layers |= {norm: jnp.ones((depths, hidden)), f"{norm}_bias": jnp.zeros((depths, hidden))}
    spread = config["initializer_range"]
    return {
        "embedding": spread * jax.random.normal(keys[-1], (config["vocab_size"], hidden)),
        "positions": spread * jax.random.normal(keys[-2], (config["n_positions"], hidden)),
        "norm": jnp.ones(hidden),
        "norm_bias": jnp.zeros(hidden),
        "layers": layers,
    }


def layer_norm(x, weight, bias, eps):
    centred = x - jnp.mean(x, -1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred * centred, -1, keepdims=True) + eps) * weight + bias


def forward(params, ids, config):
    """ids: int [batch, tokens] -> logits float32 [batch, tokens, vocabulary]."""
    batch, tokens = ids.shape
    heads, hidden, eps = config["n_head"], config["n_embd"], config["layer_norm_epsilon"]

    def layer(x, w):
        h = layer_norm(x, w["attention_norm"], w["attention_norm_bias"], eps) @ w["qkv"] + w["qkv_bias"]
        heads_first = lambda part: part.reshape(batch, tokens, heads, -1).transpose(0, 2, 1, 3).reshape(batch * heads, tokens, -1)
        q, k, v = map(heads_first, jnp.split(h, 3, -1))
        attended = model.attend(q[:, None], k, v).reshape(batch, heads, tokens, -1).transpose(0, 2, 1, 3)
        x = x + attended.reshape(batch * tokens, hidden) @ w["o"] + w["o_bias"]
        h = layer_norm(x, w["mlp_norm"], w["mlp_norm_bias"], eps)
        return x + jax.nn.gelu(h @ w["up"] + w["up_bias"], approximate=True) @ w["down"] + w["down_bias"]

    x = (params["embedding"][ids] + params["positions"][:tokens]).reshape(batch * tokens, hidden)
    for depth in range(config["n_layer"]):
        x = layer(x, {name: stack[depth] for name, stack in params["layers"].items()})
    logits = layer_norm(x, params["norm"], params["norm_bias"], eps) @ params["embedding"].T
    return logits.reshape(batch, tokens, -1)


def token_losses(params, windows, config):
    """windows: int [batch, tokens + 1] -> negative log-likelihood in nats [batch, tokens]."""
    return model.losses_of(forward(params, windows[:, :-1], config), windows)


def to_tensors(params):
    """By the names of GPT-2's files."""
    tensors = {
        "transformer.wte.weight": params["embedding"],
        "transformer.wpe.weight": params["positions"],
        "transformer.ln_f.weight": params["norm"],
        "transformer.ln_f.bias": params["norm_bias"],
    }
    for depth in range(CONFIG["n_layer"]):
        for name, stored in LAYER_NAMES.items():
            tensors[f"transformer.h.{depth}.{stored}"] = params["layers"][name][depth]
    return tensors
