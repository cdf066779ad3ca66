"""Holds tiny/ and rope_frequencies.json against Hugging Face's own code: the models of the installed transformers run
on PyTorch, in float64 where transformers allows it (its RMSNorm and softmax stay float32).

    python check_with_transformers.py MODELING_ROPE_UTILS.PY

The argument is transformers/modeling_rope_utils.py of release 5.x. Its formulas count, also inside the models: before
4.46 or so YaRN took max_position_embeddings for the original context, which the paper and newer releases do not.
Last run with PyTorch 1.13.1 and transformers 4.45.2, rotation formulas of 5.23.0.
"""

import json
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.models.llama import modeling_llama
from transformers.models.qwen2 import modeling_qwen2

HERE = Path(__file__).parent


def newer_rope_functions(path):
    """ROPE_INIT_FUNCTIONS of another release, from its source alone; only its logger is ours."""
    utils = ModuleType("utils")
    utils.is_torch_available = lambda: True
    utils.logging = SimpleNamespace(get_logger=logging.getLogger)
    sys.modules["newer"], sys.modules["newer.utils"] = ModuleType("newer"), utils
    names = {"__name__": "newer.modeling_rope_utils", "__package__": "newer"}
    source = Path(path).read_text().split("class RopeParameters(")[0]
    exec(compile(source, str(path), "exec"), names)
    return names["ROPE_INIT_FUNCTIONS"]


def newer_config(dim, theta, context, scaling):
    """What a 5.x configuration makes of the older keys."""
    parameters = {"rope_theta": theta, **(scaling or {})}
    return SimpleNamespace(
        head_dim=dim, hidden_size=dim, num_attention_heads=1, max_position_embeddings=context,
        rope_parameters=parameters, standardize_rope_params=lambda: None,
    )


def adapt(function):
    def compute(config, device=None, seq_len=None, **_):
        dim = config.hidden_size // config.num_attention_heads
        newer = newer_config(dim, config.rope_theta, config.max_position_embeddings, config.rope_scaling)
        return function(newer, device=device, seq_len=seq_len)

    return compute


def check_frequencies(functions):
    for case in json.loads((HERE / "rope_frequencies.json").read_text())["cases"]:
        dim, theta, context, scaling = (
            case[key] for key in ("dim", "rope_theta", "max_position_embeddings", "rope_scaling")
        )
        if scaling is None:
            continue
        original, seq_len = context, None
        if scaling["rope_type"] == "dynamic":  # transformers: its context is the original one, seq_len the length now
            original, seq_len = scaling["original_max_position_embeddings"], context
        function = functions[scaling["rope_type"]]
        frequencies, amplitude = function(newer_config(dim, theta, original, scaling), seq_len=seq_len)
        error = np.abs(frequencies.double().numpy() / np.array(case["frequencies"]) - 1).max()
        amplitude_error = abs(amplitude - case["amplitude"])
        print(f"{case['name']}: relative frequency error {error:.2g}, amplitude error {amplitude_error:.2g}")
        assert error < 2e-6 and amplitude_error < 1e-12


def check_model(folder):
    golden = json.loads((folder / "golden.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").double().eval()
    with torch.no_grad():
        logits = model(torch.tensor([golden["ids"]])).logits[0].double().numpy()
    error = np.abs(logits - np.reshape(golden["logits"]["data"], golden["logits"]["shape"])).max()
    print(f"{folder.name} ({type(model).__name__}): largest logit error {error:.2g} of {np.abs(logits).max():.2g}")
    return error


if __name__ == "__main__":
    functions = newer_rope_functions(sys.argv[1])
    check_frequencies(functions)
    for module in (modeling_llama, modeling_qwen2):
        for kind in ("linear", "llama3", "yarn"):
            module.ROPE_INIT_FUNCTIONS[kind] = adapt(functions[kind])
    errors = [check_model(folder) for folder in sorted((HERE / "tiny").iterdir())]
    assert max(errors) < 1e-4
