"""
Goldens of architectures: small models with random weights, their logits by `transformers`, and their GGUF files by llama.cpp's converter.

    pip install -r requirements.txt
    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36, and unpack it: vendor/llama.cpp is LLAMA_CPP
    python main.py LLAMA_CPP [NAME ...]        (writes test/golden/architectures/NAME/, two minutes for all)

Matrices are float16 and so are their files; logits are float32 of the same numbers. Gains are near 1, biases are not 0, and weights are so
large that every part of a block moves the logits. GGUF files have no tokenizer.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

from cases import CASES

TARGET = Path(__file__).parents[2] / "test/golden/architectures"
TOKENS = 32  # more than any window, and than the original context of stretched rotations


def main():
    llama_cpp, *names = sys.argv[1:]
    for index, (name, (kind, keys, has_gguf)) in enumerate(CASES.items()):
        if names and name not in names:
            continue
        folder = TARGET / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        torch.manual_seed(index)
        write_hub(folder, kind, keys)
        if has_gguf:
            write_gguf(folder, llama_cpp)
        print(name, {file.name: file.stat().st_size for file in sorted(folder.iterdir())})


def write_hub(folder, kind, keys):
    config_class = getattr(transformers, f"{kind}TextConfig", None) or getattr(transformers, f"{kind}Config")
    config = config_class(**keys, bos_token_id=None, eos_token_id=None, pad_token_id=None, attn_implementation="eager")
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(random(parameter_name, parameter, config))
    ids = torch.randint(0, config.vocab_size, (TOKENS,))
    with torch.no_grad():
        logits = model(ids[None]).logits[0]
    spread = logits.std().item()
    assert 0.3 < spread < 30, f"{folder.name}: logits spread by {spread}"
    # what a file may leave out as it is the default of its type, a hub's file often says
    written = {**model.config.to_dict(), "architectures": [type(model).__name__], **older(keys)}
    dump(folder / "config.json", {key: value for key, value in written.items() if key not in UNUSED}, indent=2)
    dump(folder / "golden.json", {"ids": ids.tolist(), "logits": {"shape": list(logits.shape), "data": rounded(logits)}})
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)  # with the names that files have
        tensors = load_file(Path(scratch) / "model.safetensors")
    halves = {key: tensor.half() if tensor.dim() > 1 else tensor for key, tensor in tensors.items()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})


UNUSED = {"transformers_version", "_name_or_path", "return_dict", "output_hidden_states", "output_attentions", "chunk_size_feed_forward",
          "id2label", "label2id", "problem_type", "is_encoder_decoder", "bos_token_id", "eos_token_id", "pad_token_id"}  # fmt: skip


def older(keys):
    """Keys that the config's class of today reads and no longer writes."""
    return {key: keys[key] for key in ("rotary_pct", "seq_length", "partial_rotary_factor", "use_sliding_window") if key in keys}


def random(name, parameter, config):
    """float16 numbers: matrices of a spread that keeps the size of their inputs, gains near 1, biases of some tenths."""
    normal = torch.randn_like(parameter)
    if parameter.dim() > 1:
        inputs = parameter.shape[1]
        is_table = "embed" in name or "wte" in name or "wpe" in name
        return (normal * (0.5 if is_table else 1.2 / inputs**0.5)).half().float()
    if "bias" in name:
        return (normal * 0.3).half().float()
    around = 0.0 if config.model_type.startswith("gemma") else 1.0
    return torch.round((around + 0.3 * normal) * 64) / 64  # so that 1 can be added exactly


def rounded(tensor):
    return [float(f"{number:.6g}") for number in tensor.flatten().tolist()]


def dump(path, value, indent=None):
    path.write_text(json.dumps(value, indent=indent, separators=None if indent else (",", ":")) + "\n", encoding="utf-8")


def write_gguf(folder, llama_cpp):
    if llama_cpp not in sys.path:
        sys.path[:0] = [llama_cpp, f"{llama_cpp}/gguf-py"]
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
    import gguf

    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        source = Path(scratch)
        for file in ("config.json", "model.safetensors"):
            shutil.copy(folder / file, source / file)
        vocabulary = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
        dump(source / "tokenizer.json", {"model": {"vocab": {str(i): i for i in range(vocabulary)}}, "added_tokens": []})
        hparams = ModelBase.load_hparams(source, False)
        converter = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
        instance = converter(source, gguf.LlamaFileType.MOSTLY_F16, folder / "model.gguf", model_name=folder.name)
        for each in (instance, getattr(instance, "impl", None)):
            if each is not None:
                each.set_vocab = lambda: None
                each.hparams.update(older(json.loads((folder / "config.json").read_text(encoding="utf-8"))))
        instance.write()


if __name__ == "__main__":
    main()
