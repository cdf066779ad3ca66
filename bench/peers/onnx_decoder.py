"""Writes one decoding step of a Llama-like GGUF model as an ONNX graph: `python onnx_decoder.py FROM.gguf TO.onnx`.

pip install gguf onnx. Weights are float32, beside the graph in TO.onnx.data. The graph is what exporters make for onnxruntime:
GroupQueryAttention with rotary positions inside, over `past.N.key` and `past.N.value` [1, kvHeads, capacity, dim]. Where
`present.N.*` are given the same memory, keys and values are written in place.
"""
import sys
import gguf
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

source, target = sys.argv[1:]
reader = gguf.GGUFReader(source)
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


def linear(x, weight, name):
    return node("MatMul", [x, constant(name + ".weight", weights[weight + ".weight"].T)], name)


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
x = node("Gather", [constant("embedding", weights["token_embd.weight"]), "ids"], "embed")
for depth in range(depths):
    block, at = f"blk.{depth}.", f"depth{depth}."
    normed = rms_norm(x, block + "attn_norm", at + "norm1")
    q, k, v = (linear(normed, f"{block}attn_{side}", at + side) for side in "qkv")
    past = [f"past.{depth}.key", f"past.{depth}.value"]
    present = [f"present.{depth}.key", f"present.{depth}.value"]
    for names, infos in ((past, inputs), (present, outputs)):
        infos += [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, kv_heads, None, dim]) for n in names]
    nodes.append(
        helper.make_node(
            "GroupQueryAttention",
            [q, k, v, *past, "lastIndex", "total", cos, sin],
            [at + "attended", *present],
            name=at + "attention",
            domain="com.microsoft",
            num_heads=heads,
            kv_num_heads=kv_heads,
            do_rotary=1,
            rotary_interleaved=1,  # as GGUF files of Llama have queries and keys
        )
    )
    x = node("Add", [x, linear(at + "attended", block + "attn_output", at + "o")], at + "sum1")
    normed = rms_norm(x, block + "ffn_norm", at + "norm2")
    gate = linear(normed, block + "ffn_gate", at + "gate")
    gate = node("Mul", [gate, node("Sigmoid", [gate], at + "sigmoid")], at + "silu")
    inner = node("Mul", [gate, linear(normed, block + "ffn_up", at + "up")], at + "inner")
    x = node("Add", [x, linear(inner, block + "ffn_down", at + "down")], at + "sum2")
x = rms_norm(x, "output_norm", "norm")
linear(x, "output" if "output.weight" in weights else "token_embd", "logits")
outputs.insert(0, helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "tokens", None]))

graph = helper.make_graph(nodes, "decoder", inputs, outputs, initializers)
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
onnx.save_model(model, target, save_as_external_data=True, location=target.split("/")[-1] + ".data")
print(f"{depths} depths, {heads} heads, {kv_heads} key heads of {dim}, theta {theta}")
