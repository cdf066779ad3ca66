"""Makes smollm2.json: what SmolLM2-135M-Instruct (Q4_1) says to the first 1,024 tokens of WikiText-2's test text.

    python smollm2_golden.py MODEL.gguf wikitext2-test.txt

Needs numpy, gguf, tokenizers. The ids come from HF tokenizers, built from the GGUF's own vocabulary; the numbers from
llama_forward.py over the weights as gguf dequantises them. llama_cpp_nll.mjs then adds llama.cpp's figures.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

from llama_forward import forward, load_gguf, mean_nll

TOKENS = 1024
CONTROL = 3  # GGUF's token type of control tokens


def build_tokenizer(path):
    """Byte-level BPE with GGUF's pre-tokenizer "smollm": every digit alone, then GPT-2's split."""
    reader = GGUFReader(path)
    read = lambda name: reader.get_field(f"tokenizer.ggml.{name}").contents()  # noqa: E731
    if (read("model"), read("pre")) != ("gpt2", "smollm"):
        raise ValueError(f"tokenizer {read('model')}/{read('pre')}: this script knows gpt2/smollm")
    tokens, types = read("tokens"), read("token_type")
    merges = [tuple(merge.split(" ")) for merge in read("merges")]
    tokenizer = Tokenizer(BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    digits_alone = Digits(individual_digits=True)
    tokenizer.pre_tokenizer = Sequence([digits_alone, ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = ByteLevelDecoder()
    control = [token for token, kind in zip(tokens, types) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    begins = bool(read("add_bos_token"))
    return tokenizer, begins


def main(model_path, text_path):
    text = Path(text_path).read_text(encoding="utf-8")
    tokenizer, begins = build_tokenizer(model_path)
    assert not begins, "the ids below have no beginning token"
    encoding = tokenizer.encode(text)
    ids = encoding.ids[:TOKENS]
    characters = encoding.offsets[TOKENS - 1][1]
    assert tokenizer.decode(ids, skip_special_tokens=False) == text[:characters]
    assert tokenizer.encode(text[:characters]).ids == ids

    config, weights = load_gguf(model_path)
    exact, seconds = timed(forward, config, weights, ids, np.float64)
    single, _ = timed(forward, config, weights, ids, np.float32)
    print(f"float64: {mean_nll(exact, ids):.9f} nats/token in {seconds:.0f} s; float32: {mean_nll(single, ids):.9f}")
    best = np.argsort(-exact[-1])[:5]
    blocks = [mean_nll(exact[at : at + 129], ids[at : at + 129]) for at in range(0, TOKENS - 128, 128)]
    golden = {
        "what": "NumPy float64 forward pass over the dequantised weights, made by smollm2_golden.py",
        "model": {
            "file": Path(model_path).name,
            "bytes": Path(model_path).stat().st_size,
            "sha256": sha256(Path(model_path).read_bytes()),
        },
        "text": {
            "file": Path(text_path).name,
            "sha256": sha256(text.encode()),
            "characters": characters,
            "note": "the first `characters` characters, tokenised alone, give exactly these ids; no BOS is prepended",
        },
        "ids": ids,
        "idsSha256": sha256(np.array(ids, "<i4").tobytes()),
        "idsSha256Of": "the ids as little-endian int32",
        "predictedTokens": TOKENS - 1,
        "meanNll": mean_nll(exact, ids),
        "meanNllFloat32": mean_nll(single, ids),
        "nllOfBlocks": {
            "what": "means over the predictions of tokens 1..128, 129..256, ..., 769..896",
            "values": blocks,
        },
        "lastTop5": {
            "what": "position 1023, after all ids",
            "ids": best.tolist(),
            "tokens": [tokenizer.decode([int(i)]) for i in best],
            "logits": exact[-1][best].tolist(),
        },
        "lastLogits": {"what": "position 1023, vocabulary entries 0..31", "values": exact[-1][:32].tolist()},
        "maxAbsLogit": float(np.abs(exact).max()),
        "maxAbsFloat32Deviation": float(np.abs(exact - single).max()),
    }
    target = Path(__file__).parent / "smollm2.json"
    kept = json.loads(target.read_text()).get("llamaCpp") if target.exists() else None
    if kept is not None:
        golden["llamaCpp"] = kept
    target.write_text(json.dumps(golden, indent=1, ensure_ascii=False).replace(",\n  ", ", ") + "\n", encoding="utf-8")


def timed(function, *arguments):
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


def sha256(data):
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
