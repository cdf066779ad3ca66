"""Golden files of test/models/weights: GGUF and safetensors written by other people's code.

Needs: pip install gguf==0.19.0 numpy safetensors. Run in this folder: python weights_golden.py
  types.gguf              one small tensor of every type that eigenkv reads, and metadata of every value type
  types.safetensors       the same tensors, dequantised to float32 by gguf-python
  dtypes.safetensors      one tensor of every safetensors dtype, with bit patterns at the edges
  dtypes.json             the values of these as float32 (null: NaN, "inf", "-inf")
"""

import json
import math
import struct

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from safetensors.numpy import save_file

rng = np.random.default_rng(20)


def k_quant_bytes(rows, columns, block_bytes, halves, values=256):
    """Random codes with sane float16 scales at the offsets `halves` of each block (gguf-python cannot write these)."""
    blocks = rng.integers(0, 256, (rows * columns // values, block_bytes), dtype=np.uint8)
    for offset in halves:
        scales = rng.normal(0, 0.01, len(blocks)).astype(np.float16)
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, columns // values * block_bytes)


def gguf_types():
    writer = gguf.GGUFWriter("types.gguf", "llama")
    for name, value in {"uint8": 200, "int8": -100, "uint16": 60000, "int16": -30000, "uint32": 4000000000}.items():
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    writer.add_int32("test.int32", -2000000000)
    writer.add_float32("test.float32", 0.1)
    writer.add_float64("test.float64", 0.1)
    writer.add_uint64("test.uint64", 2**64 - 1)
    writer.add_uint64("test.uint64_small", 12345)
    writer.add_int64("test.int64", -(2**63))
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "κλμ 🙂\ufeff")
    writer.add_array("test.strings", ["a", "", "ü"])
    writer.add_array("test.int32s", [-1, 0, 1])
    writer.add_array("test.float32s", [0.5, -0.25])
    writer.add_array("test.bools", [True, False])
    writer.add_array("test.nested", [[1, 2], [3]])

    expected = {}
    data = rng.normal(0, 1, (3, 256)).astype(np.float32)
    data[0, :4] = [0, -0.0, 1e-8, 60000]
    for kind in (T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1):
        raw = gguf.quants.quantize(data, kind)
        writer.add_tensor(f"{kind.name}.weight", raw, raw_dtype=kind)
        expected[f"{kind.name}.weight"] = gguf.quants.dequantize(raw, kind)
    for kind, block_bytes, halves in ((T.Q4_K, 144, (0, 2)), (T.Q5_K, 176, (0, 2)), (T.Q6_K, 210, (208,))):
        raw = k_quant_bytes(2, 512, block_bytes, halves)
        writer.add_tensor(f"{kind.name}.weight", raw, raw_dtype=kind)
        expected[f"{kind.name}.weight"] = gguf.quants.dequantize(raw, kind)
    random_blocks = {T.Q2_K: (84, (80, 82), 256), T.Q3_K: (110, (108,), 256), T.IQ4_XS: (136, (0,), 256), T.IQ4_NL: (18, (0,), 32)}
    for kind, (block_bytes, halves, values) in random_blocks.items():
        raw = k_quant_bytes(2, 512, block_bytes, halves, values)
        writer.add_tensor(f"{kind.name}.weight", raw, raw_dtype=kind)
        expected[f"{kind.name}.weight"] = gguf.quants.dequantize(raw, kind)
    for kind in (T.TQ1_0, T.TQ2_0, T.MXFP4):
        raw = gguf.quants.quantize(data, kind)
        writer.add_tensor(f"{kind.name}.weight", raw, raw_dtype=kind)
        expected[f"{kind.name}.weight"] = gguf.quants.dequantize(raw, kind)
    vector = rng.normal(0, 1, 5).astype(np.float32)
    writer.add_tensor("vector.bias", vector)
    expected["vector.bias"] = vector
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file({name: np.ascontiguousarray(value, np.float32) for name, value in expected.items()}, "types.safetensors",
              {"source": "gguf-python " + __import__("importlib.metadata").metadata.version("gguf")})


def float8(bits, exponent_bits, fraction_bits, ieee):
    """An OCP 8-bit float by its definition."""
    sign = -1.0 if bits & 128 else 1.0
    exponent = bits >> fraction_bits & (1 << exponent_bits) - 1
    fraction = bits & (1 << fraction_bits) - 1
    bias = (1 << exponent_bits - 1) - 1
    if exponent == (1 << exponent_bits) - 1:
        if ieee:
            return sign * math.inf if fraction == 0 else math.nan
        if fraction == (1 << fraction_bits) - 1:
            return math.nan
    if exponent == 0:
        return sign * fraction / 2**fraction_bits * 2.0 ** (1 - bias)
    return sign * (1 + fraction / 2**fraction_bits) * 2.0 ** (exponent - bias)


def safetensors_dtypes():
    halves = np.array([0, 0x8000, 1, 0x03FF, 0x0400, 0x3C00, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0x3555, 0xC248], np.uint16)
    bytes_ = np.array([0, 1, 7, 8, 0x38, 0x7B, 0x7C, 0x7E, 0x7F, 0x80, 0xFE, 0xFF], np.uint8)
    entries = {
        "F32": np.array([0, -0.0, 1.5, 1e-45, 3.4e38, math.inf, math.nan], np.float32),
        "F64": np.array([0.1, -1e300, 1e-300, 16777217.0, math.pi, 2.0, -3.0], np.float64),
        "F16": halves,
        "BF16": np.array([0, 0x8000, 1, 0x3F80, 0x7F7F, 0x7F80, 0xFF80, 0x7FC0, 0xC049], np.uint16),
        "I64": np.array([-(2**62), -1, 0, 2**53 + 1], np.int64),
        "U64": np.array([0, 2**63, 2**64 - 1], np.uint64),
        "I32": np.array([-(2**31), -1, 0, 16777217], np.int32),
        "U32": np.array([0, 2**32 - 1], np.uint32),
        "I16": np.array([-(2**15), 2**15 - 1], np.int16),
        "U16": np.array([0, 2**16 - 1], np.uint16),
        "I8": np.array([-128, 127], np.int8),
        "U8": np.array([0, 255], np.uint8),
        "BOOL": np.array([0, 1], np.uint8),
        "F8_E4M3": bytes_,
        "F8_E5M2": bytes_,
    }
    values = {name: array.astype(np.float32).tolist() for name, array in entries.items()}
    values["F16"] = halves.view(np.float16).astype(np.float32).tolist()
    values["BF16"] = (entries["BF16"].astype(np.uint32) << 16).view(np.float32).tolist()
    values["F8_E4M3"] = [float8(int(bits), 4, 3, False) for bits in bytes_]
    values["F8_E5M2"] = [float8(int(bits), 5, 2, True) for bits in bytes_]

    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, array in entries.items():
        header[name] = {"dtype": name, "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    with open("dtypes.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)

    def plain(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf") if math.isinf(value) else value

    with open("dtypes.json", "w") as file:
        json.dump({name: [plain(value) for value in row] for name, row in values.items()}, file, indent=1)
        file.write("\n")


gguf_types()
safetensors_dtypes()
