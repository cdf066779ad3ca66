"""Writes a GGUF file anew with every tensor in float32: `python float32_gguf.py FROM.gguf TO.gguf` (pip install gguf).

llama.cpp then reads weights of the width that tfjs holds them in, so that times compare kernels and not bytes.
"""
import sys
import gguf

source, target = sys.argv[1:]
reader = gguf.GGUFReader(source)
fields = reader.fields
writer = gguf.GGUFWriter(target, fields["general.architecture"].contents())
for name, field in fields.items():
    if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type", "general.quantization_version"):
        continue
    value_type = field.types[0]
    sub_type = field.types[-1] if value_type == gguf.GGUFValueType.ARRAY else None
    writer.add_key_value(name, field.contents(), value_type, sub_type)
writer.add_file_type(gguf.LlamaFileType.ALL_F32)
for tensor in reader.tensors:
    writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
