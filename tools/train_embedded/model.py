"""The Llama forward pass in JAX, and the config it is trained with. Weights are [in, out] here; export transposes."""

from functools import partial

import jax
import jax.numpy as jnp

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 2048,
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 9,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 1024,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "mlp_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float16",
    "use_cache": True,
}
CONTEXT = CONFIG["max_position_embeddings"]
QUERY_BLOCK = 128  # queries attend block by block, so that masked keys to the right are mostly never computed


def init(config, key):
    """Float32 parameters; those of all depths are stacked along a leading axis."""
    depths, hidden, inner = config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    shapes = {"q": (hidden, q), "k": (hidden, kv), "v": (hidden, kv), "o": (q, hidden),
              "gate": (hidden, inner), "up": (hidden, inner), "down": (inner, hidden)}
    keys = jax.random.split(key, len(shapes) + 1)
    scale = {name: shape[0] ** -0.5 for name, shape in shapes.items()}
    for name in ("o", "down"):  # these write to the residual stream, 2 * depths times over
        scale[name] *= (2 * depths) ** -0.5
    layers = {n: scale[n] * jax.random.normal(k, (depths, *shapes[n])) for n, k in zip(shapes, keys)}
    layers |= {"attention_norm": jnp.ones((depths, hidden)), "mlp_norm": jnp.ones((depths, hidden))}
    embedding = config["initializer_range"] * jax.random.normal(keys[-1], (config["vocab_size"], hidden))
    return {"embedding": embedding, "norm": jnp.ones(hidden), "layers": layers}


def rms_norm(x, weight, eps):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps) * weight


def rope_tables(length, dim, theta):
    angles = jnp.arange(length)[:, None] * theta ** (-jnp.arange(0, dim, 2) / dim)
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x, cos, sin):
    """x: [..., tokens, dim]; the halves of dim are rotated against each other."""
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def attend(q, k, v, watch=None):
    """Causal attention. q: [batch * kvHeads, group, tokens, dim]; k, v: [batch * kvHeads, tokens, dim]. For each block of queries `watch`
    is called with the first one's position and the weights [batch * kvHeads, group, queries, keys]."""
    heads, group, tokens, dim = q.shape
    outputs = []
    for start in range(0, tokens, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, tokens)
        rows = (q[:, :, start:stop] * dim**-0.5).reshape(heads, group * (stop - start), dim)
        scores = rows @ k[:, :stop].transpose(0, 2, 1)
        seen = jnp.arange(stop)[None, :] <= jnp.arange(start, stop)[:, None]
        weights = jax.nn.softmax(jnp.where(jnp.tile(seen, (group, 1)), scores, -1e30), -1)
        if watch:
            watch(start, weights.reshape(heads, group, stop - start, stop))
        outputs.append((weights @ v[:, :stop]).reshape(heads, group, stop - start, dim))
    return jnp.concatenate(outputs, -2)


def forward(params, ids, config, watch=None):
    """ids: int [batch, tokens] -> logits float32 [batch, tokens, vocabulary]. `watch(depth, ...)`: see `attend`."""
    batch, tokens = ids.shape
    heads, kv_heads, dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    eps = config["rms_norm_eps"]
    cos, sin = rope_tables(tokens, dim, config["rope_theta"])

    def split(x, n):
        return x.reshape(batch, tokens, n, dim).transpose(0, 2, 1, 3)

    def layer(x, w, depth):
        h = rms_norm(x, w["attention_norm"], eps)
        q = rotate(split(h @ w["q"], heads), cos, sin).reshape(batch * kv_heads, heads // kv_heads, tokens, dim)
        k = rotate(split(h @ w["k"], kv_heads), cos, sin).reshape(batch * kv_heads, tokens, dim)
        v = split(h @ w["v"], kv_heads).reshape(batch * kv_heads, tokens, dim)
        attended = attend(q, k, v, watch and partial(watch, depth)).reshape(batch, heads, tokens, dim).transpose(0, 2, 1, 3)
        x = x + attended.reshape(batch * tokens, heads * dim) @ w["o"]
        h = rms_norm(x, w["mlp_norm"], eps)
        return x + (jax.nn.silu(h @ w["gate"]) * (h @ w["up"])) @ w["down"]

    # Tokens of all windows are rows of one matrix: XLA's CPU gradients of products with two leading axes take 2.5 times as long.
    x = params["embedding"][ids.reshape(-1)]
    for depth in range(config["num_hidden_layers"]):  # unrolled: a quarter faster on CPU than jax.lax.scan
        x = layer(x, {name: stack[depth] for name, stack in params["layers"].items()}, depth)
    return (rms_norm(x, params["norm"], eps) @ params["embedding"].T).reshape(batch, tokens, -1)


def token_losses(params, windows, config):
    """windows: int [batch, tokens + 1] -> negative log-likelihood in nats [batch, tokens]."""
    return losses_of(forward(params, windows[:, :-1], config), windows)


def losses_of(logits, windows):
    picked = jnp.take_along_axis(logits, windows[:, 1:, None], -1)[..., 0]
    return jax.nn.logsumexp(logits, -1) - picked
