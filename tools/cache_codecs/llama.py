"""A Llama-like model of a GGUF file in float32 NumPy, which runs step by step over caches of any codec."""

from dataclasses import dataclass

import gguf
import numpy as np


@dataclass(frozen=True)
class Depth:
    """The weights of one depth, [outputs, inputs] each."""

    attention_norm: np.ndarray
    query_key_value: np.ndarray
    attention_output: np.ndarray
    feed_forward_norm: np.ndarray
    gate_up: np.ndarray
    down: np.ndarray


class Llama:
    """Reads and decodes all weights. Pairs of neighbouring channels are rotated, as GGUF files of Llama order them."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        architecture = reader.fields["general.architecture"].contents()

        def option(name, default=None):
            field = reader.fields.get(f"{architecture}.{name}")
            return default if field is None else field.contents()

        weights = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32) for tensor in reader.tensors}
        self.heads = option("attention.head_count")
        self.kv_heads = option("attention.head_count_kv", self.heads)
        self.dim = option("attention.key_length", option("embedding_length") // self.heads)
        self.epsilon = option("attention.layer_norm_rms_epsilon", 1e-5)
        self.embedding = weights["token_embd.weight"]
        self.output_head = weights.get("output.weight", self.embedding)
        self.output_norm = weights["output_norm.weight"]
        self.depths = [self._depth(weights, f"blk.{depth}.") for depth in range(option("block_count"))]
        angles = np.outer(np.arange(option("context_length")), option("rope.freq_base", 10000.0) ** (-np.arange(0, self.dim, 2) / self.dim))
        self.cos, self.sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

    @staticmethod
    def _depth(weights, block):
        def joined(*names):
            return np.concatenate([weights[f"{block}{name}.weight"] for name in names])

        return Depth(
            attention_norm=joined("attn_norm"),
            query_key_value=joined("attn_q", "attn_k", "attn_v"),
            attention_output=joined("attn_output"),
            feed_forward_norm=joined("ffn_norm"),
            gate_up=joined("ffn_gate", "ffn_up"),
            down=joined("ffn_down"),
        )

    def step(self, ids, pasts):
        """The logits [tokens, vocabulary] of new ids. They attend to each other exactly and to what `pasts`, one per depth, give of earlier
        tokens; then their keys and values are appended to the pasts."""
        start = pasts[0].tokens
        x = self.embedding[ids]
        for depth, past in zip(self.depths, pasts):
            normed = self._norm(x, depth.attention_norm)
            queries, keys, values = self._split_heads(normed @ depth.query_key_value.T)
            queries, keys = self._rotated(queries, start), self._rotated(keys, start)
            x = x + self._attend(queries, keys, values, past) @ depth.attention_output.T
            past.append(keys, values)
            gate, up = np.split(self._norm(x, depth.feed_forward_norm) @ depth.gate_up.T, 2, axis=-1)
            x = x + (gate / (1 + np.exp(-gate)) * up) @ depth.down.T
        return self._norm(x, self.output_norm) @ self.output_head.T

    def _norm(self, x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(self.epsilon)) * weight

    def _split_heads(self, projected):
        """Queries, keys and values, [heads, tokens, dim] each."""
        by_head = projected.reshape(len(projected), -1, self.dim).transpose(1, 0, 2)
        return np.split(by_head, [self.heads, self.heads + self.kv_heads])

    def _rotated(self, x, start):
        cos, sin = (table[start : start + x.shape[1]] for table in (self.cos, self.sin))
        first, second = x[..., 0::2], x[..., 1::2]
        return np.stack([first * cos - second * sin, first * sin + second * cos], -1).reshape(x.shape)

    def _attend(self, queries, keys, values, past):
        """Softmax attention over the past and causally over the new tokens: [tokens, heads * dim]."""
        tokens, group = keys.shape[1], self.heads // self.kv_heads
        future = np.triu(np.full((tokens, tokens), -np.inf, np.float32), 1)
        past_keys, past_values = past.read()
        outputs = []
        for head in range(self.kv_heads):
            rows = queries[head * group : (head + 1) * group].reshape(-1, self.dim) / np.float32(np.sqrt(self.dim))
            own = (rows @ keys[head].T).reshape(group, tokens, tokens) + future
            scores = np.concatenate([rows @ past_keys[head].T, own.reshape(-1, tokens)], 1)
            scores -= scores.max(-1, keepdims=True)
            np.exp(scores, out=scores)
            attended = scores[:, : past.tokens] @ past_values[head] + scores[:, past.tokens :] @ values[head]
            attended /= scores.sum(-1, keepdims=True)
            outputs.extend(attended.reshape(group, tokens, self.dim))
        return np.stack(outputs, 1).reshape(tokens, -1)
