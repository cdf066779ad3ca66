"""
Golden values of relative position biases, by transformers: the self-attention of a T5 decoder with random weights, its gradients, and the buckets
of distances. Computed in float64 from numbers of four decimals.

    pip install torch==2.15.0 transformers==5.24.0
    python relative_bias.py        (writes relative_bias.json beside it)
"""

import json
from pathlib import Path

import torch
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Attention

TOKENS, DIM, HEADS, HEAD_DIM = 40, 12, 3, 5
BUCKETS, MAX_DISTANCE = 8, 24
FORMULAS = [(32, 128), (8, 24), (16, 16), (5, 40), (2, 3), (32, 64), (33, 1000)]


def array(x):
    return {"shape": list(x.shape), "data": [float(f"{value:.7g}") for value in x.detach().flatten().tolist()]}


def short(x):
    return (x.double() * 1e4).round() / 1e4


def starts(buckets, most):
    """The buckets in the order of distances, and how many distances each has, of 1,200; memory positions are before the query."""
    of_distances = T5Attention._relative_position_bucket(
        -torch.arange(0, 1200), bidirectional=False, num_buckets=buckets, max_distance=most
    )
    order, counts = torch.unique_consecutive(of_distances, return_counts=True)
    return {"order": order.tolist(), "counts": counts.tolist()}


def main():
    torch.manual_seed(7)
    config = T5Config(
        d_model=DIM, d_kv=HEAD_DIM, num_heads=HEADS, relative_attention_num_buckets=BUCKETS,
        relative_attention_max_distance=MAX_DISTANCE, dropout_rate=0, is_decoder=True, attn_implementation="eager",
    )
    layer = T5Attention(config, has_relative_attention_bias=True, layer_idx=0).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(short(0.5 * torch.randn_like(parameter)))
        layer.relative_attention_bias.weight.copy_(short(1.5 * torch.randn(BUCKETS, HEADS)))
    layer = layer.double()
    x = short(torch.randn(2, TOKENS, DIM)).double().requires_grad_()
    weights = short(torch.randn(2, TOKENS, DIM)).double()
    hidden = torch.triu(torch.full((TOKENS, TOKENS), -1e30, dtype=torch.float64), diagonal=1)
    output = layer(x, mask=hidden[None, None])[0]
    (output * weights).sum().backward()
    table = layer.relative_attention_bias.weight
    golden = {
        "heads": HEADS,
        "maxDistance": MAX_DISTANCE,
        "x": array(x),
        **{name: array(getattr(layer, name[0]).weight.T) for name in ("query", "key", "value", "output")},
        "table": array(table),
        "result": array(output),
        "weights": array(weights),
        "gradients": {"x": array(x.grad), "table": array(table.grad), "query": array(layer.q.weight.grad.T)},
        "buckets": [
            {
                "buckets": buckets,
                "maxDistance": most,
                **starts(buckets, most),
            }
            for buckets, most in FORMULAS
        ],
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(golden) + "\n")


main()
