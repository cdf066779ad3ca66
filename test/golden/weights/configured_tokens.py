"""Golden ids of test/models/configured_tokens.test.ts: tokens that only the files beside a tokenizer.json name.

Needs: pip install transformers==5.24.0 (without PyTorch). Run in this folder: python configured_tokens.py
configured_tokens.json: a byte-level tokenizer.json, and for each set of files beside it what `AutoTokenizer.from_pretrained` makes of
them: the added tokens, the first and last token, and the ids and texts of some strings.
"""

import json
import tempfile
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

TEXTS = ["the end<|im_end|>", "a <|im_start|> b", "over there[PAD]", "a <tool> b", "<img>the", "</s>"]


def tokenizer_json():
    """Bytes 3 to 258, eight merges, and three special tokens in front."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "a"), ("Ġ", "the"), ("o", "v"), ("e", "r"), ("ov", "er"), ("e", "n")]
    tokens = ["<unk>", "<s>", "</s>", *letters, *(a + b for a, b in merges)]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(token, special=True) for token in tokens[:3]])
    return json.loads(tokenizer.to_str())


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": True, **flags}


BASE = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
CASES = {
    "nothing further": {"tokenizer_config.json": BASE},
    "a list by ids": {"tokenizer_config.json": {**BASE, "added_tokens_decoder": {
        "268": token("<|im_end|>"), "267": token("<|im_start|>"), "2": token("</s>")}}},
    "an end that only the list has": {"tokenizer_config.json": {**BASE, "eos_token": "<|im_end|>",
        "added_tokens_decoder": {"267": token("<|im_end|>")}}},
    "an end that nothing else has": {"tokenizer_config.json": {**BASE, "eos_token": "<|im_end|>"}},
    "an end that is a token of the vocabulary": {"tokenizer_config.json": {**BASE, "eos_token": "Ġthe"}},
    "names by objects": {"tokenizer_config.json": {**BASE, "pad_token": token("[PAD]", lstrip=True, __type="AddedToken")}},
    "names without ids, in their order": {"tokenizer_config.json": {**BASE, "pad_token": "[PAD]", "unk_token": "<|im_start|>",
        "extra_special_tokens": ["<img>", "<tool>"]}},
    "extra tokens with names of their own": {"tokenizer_config.json": {**BASE, "extra_special_tokens": {"image_token": "<img>"}}},
    "flags": {"tokenizer_config.json": {**BASE, "added_tokens_decoder": {
        "267": token("<tool>", special=False, lstrip=True, rstrip=True), "268": {"content": "<img>"}}}},
    "ids that leave a gap": {"tokenizer_config.json": {**BASE, "added_tokens_decoder": {
        "300": token("<|im_end|>"), "290": token("<|im_start|>")}}},
    "the older files": {"tokenizer_config.json": BASE, "special_tokens_map.json": {"eos_token": "<|im_end|>"},
        "added_tokens.json": {"<tool>": 268, "<|im_end|>": 267}},
    "the older files beside a list, which wins": {
        "tokenizer_config.json": {**BASE, "added_tokens_decoder": {"267": token("<|im_start|>")}},
        "special_tokens_map.json": {"eos_token": "<|im_end|>"}, "added_tokens.json": {"<tool>": 268}},
    "the map without names in the config": {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
        "special_tokens_map.json": {"eos_token": "</s>", "pad_token": token("[PAD]")}},
}


def golden(folder, files):
    (folder / "config.json").write_text('{"model_type": "llama"}')
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    loaded = AutoTokenizer.from_pretrained(folder)
    return {
        "files": files,
        "added": [[i, t.content, t.special] for i, t in sorted(loaded.added_tokens_decoder.items())],
        "bos": loaded.bos_token_id,
        "eos": loaded.eos_token_id,
        "ids": [loaded.encode(text, add_special_tokens=False) for text in TEXTS],
        "decoded": [loaded.decode(loaded.encode(text, add_special_tokens=False), skip_special_tokens=True) for text in TEXTS],
    }


if __name__ == "__main__":
    cases = {}
    for name, files in CASES.items():
        with tempfile.TemporaryDirectory() as path:
            Path(path, "tokenizer.json").write_text(json.dumps(tokenizer_json()))
            cases[name] = golden(Path(path), files)
    result = {"tokenizer": tokenizer_json(), "texts": TEXTS, "cases": cases}
    Path("configured_tokens.json").write_text(json.dumps(result, ensure_ascii=False) + "\n")
