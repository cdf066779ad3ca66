"""Writes one decoding step of a Llama-like GGUF model as an ONNX graph:

    python onnx_decoder.py FROM.gguf TO.onnx [--weights float32|int4] [--cache float32|int8|int4] [--accuracy 0|4]

pip install gguf onnx. Weights are beside the graph in TO.onnx.data. The graph is what exporters make for onnxruntime: GroupQueryAttention
with rotary positions inside, over `past.N.key` and `past.N.value` [1, kvHeads, capacity, dim]. If `present.N.*` are given the same memory,
keys and values are written in place.

- `--weights int4`: MatMulNBits, 4 bits with a scale and a zero point per 32 inputs, rounded to nearest; the output head has 8 bits, the
  embedding float32. `--accuracy 4` lets it round activations to int8, as llama.cpp does.
- `--cache int8` or `int4`: symmetric codes with one scale per channel, which is a constant of the graph, 1/16 for 8 bits and 1 for 4. That is
  enough to measure times, which do not depend on it.
"""
import argparse
import gguf
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

parser = argparse.ArgumentParser()
parser.add_argument("source")
parser.add_argument("target")
parser.add_argument("--weights", choices=["float32", "int4"], default="float32")
parser.add_argument("--cache", choices=["float32", "int8", "int4"], default="float32")
parser.add_argument("--accuracy", type=int, choices=[0, 4], default=0)
given = parser.parse_args()
target = given.target
reader = gguf.GGUFReader(given.source)
architecture = reader.fields["general.architecture"].contents()


def option(name, default=None):
    field = reader.fields.get(f"{architecture}.{name}")
    return default if field is None else field.contents()


depths = option("block_count")
heads = option("attention.head_count")
kv_heads = option("attention.head_count_kv", heads)
width = option("embedding_length")
dim = option("attention.key_length", width // heads)
context = 32768  # rows of the rotary tables
theta = option("rope.freq_base", 10000.0)
epsilon = option("attention.layer_norm_rms_epsilon", 1e-5)
weights = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}

nodes, initializers, inputs, outputs = [], [], [], []


def constant(name, array):
    initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return name


def node(op, given, name, count=1, **attributes):
    made = [name] if count == 1 else [f"{name}.{i}" for i in range(count)]
    nodes.append(helper.make_node(op, given, made, name=name, **attributes))
    return made[0] if count == 1 else made


def linear(x, weight, name, bits=4):
    matrix = weights[weight + ".weight"]
    if given.weights == "float32":
        return node("MatMul", [x, constant(name + ".weight", matrix.T)], name)
    outputs, inputs = matrix.shape
    blocks = matrix.reshape(outputs, inputs // 32, 32)
    least, most = (f(blocks, axis=2, initial=0) for f in (np.min, np.max))  # so that zero has a code
    scales = np.maximum((most - least) / (2**bits - 1), 1e-10).astype(np.float32)
    zeros = np.rint(-least / scales)
    codes = np.clip(np.rint(blocks / scales[..., None]) + zeros[..., None], 0, 2**bits - 1).astype(np.uint8)
    if bits == 4:
        codes = codes[..., 0::2] | codes[..., 1::2] << 4
        zeros = np.pad(zeros, ((0, 0), (0, inputs // 32 % 2)))
        zeros = zeros[:, 0::2].astype(np.uint8) | zeros[:, 1::2].astype(np.uint8) << 4
    packed = [
        constant(name + ".codes", codes),
        constant(name + ".scales", scales),
        constant(name + ".zeros", zeros.astype(np.uint8)),
    ]
    options = dict(K=inputs, N=outputs, bits=bits, block_size=32, accuracy_level=given.accuracy)
    return node("MatMulNBits", [x, *packed], name, domain="com.microsoft", **options)


def rms_norm(x, weight, name):
    scale = constant(name + ".weight", weights[weight + ".weight"])
    return node("SimplifiedLayerNormalization", [x, scale], name, epsilon=float(epsilon), axis=-1)


angles = np.outer(np.arange(context), theta ** (-np.arange(0, dim, 2) / dim))
cos = constant("cos", np.cos(angles).astype(np.float32))
sin = constant("sin", np.sin(angles).astype(np.float32))
inputs += [
    helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "tokens"]),
    helper.make_tensor_value_info("lastIndex", TensorProto.INT32, [1]),  # of the newest token in the past with it
    helper.make_tensor_value_info("total", TensorProto.INT32, []),  # tokens of the past with the new ones
]
past_type, past_dim, cache = {
    "float32": (TensorProto.FLOAT, dim, {}),
    "int8": (TensorProto.INT8, dim, {"kv_cache_bit_width": 8}),
    "int4": (TensorProto.UINT8, dim // 2, {"kv_cache_bit_width": 4}),
}[given.cache]
scales = []
if cache:
    cache.update(k_quant_type="PER_CHANNEL", v_quant_type="PER_CHANNEL")
    scale = np.full((1, kv_heads, 1, dim), 1 / 16 if given.cache == "int8" else 1, np.float32)
    scales = ["", "", "", constant("keyScales", scale), constant("valueScales", scale)]  # after positions, bias, sink
x = node("Gather", [constant("embedding", weights["token_embd.weight"]), "ids"], "embed")
for depth in range(depths):
    block, at = f"blk.{depth}.", f"depth{depth}."
    normed = rms_norm(x, block + "attn_norm", at + "norm1")
    q, k, v = (linear(normed, f"{block}attn_{side}", at + side) for side in "qkv")
    past = [f"past.{depth}.key", f"past.{depth}.value"]
    present = [f"present.{depth}.key", f"present.{depth}.value"]
    for names, infos in ((past, inputs), (present, outputs)):
        infos += [helper.make_tensor_value_info(n, past_type, [1, kv_heads, None, past_dim]) for n in names]
    nodes.append(
        helper.make_node(
            "GroupQueryAttention",
            [q, k, v, *past, "lastIndex", "total", cos, sin, *scales],
            [at + "attended", *present],
            name=at + "attention",
            domain="com.microsoft",
            num_heads=heads,
            kv_num_heads=kv_heads,
            do_rotary=1,
            rotary_interleaved=1,  # as GGUF files of Llama have queries and keys
            **cache,
        )
    )
    x = node("Add", [x, linear(at + "attended", block + "attn_output", at + "o")], at + "sum1")
    normed = rms_norm(x, block + "ffn_norm", at + "norm2")
    gate = linear(normed, block + "ffn_gate", at + "gate")
    gate = node("Mul", [gate, node("Sigmoid", [gate], at + "sigmoid")], at + "silu")
    inner = node("Mul", [gate, linear(normed, block + "ffn_up", at + "up")], at + "inner")
    x = node("Add", [x, linear(inner, block + "ffn_down", at + "down")], at + "sum2")
x = rms_norm(x, "output_norm", "norm")
linear(x, "output" if "output.weight" in weights else "token_embd", "logits", bits=8)
outputs.insert(0, helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "tokens", None]))

graph = helper.make_graph(nodes, "decoder", inputs, outputs, initializers)
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
onnx.save_model(model, target, save_as_external_data=True, location=target.split("/")[-1] + ".data")
print(f"{depths} depths, {heads} heads, {kv_heads} key heads of {dim}, theta {theta}")
