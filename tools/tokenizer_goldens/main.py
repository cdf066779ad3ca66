"""
Goldens of tokenizers: what Python's `tokenizers` makes of every step and option, for test/models/tokenizer_goldens.test.ts.

    pip install tokenizers==0.23.3 sentencepiece protobuf
    python tools/tokenizer_goldens/main.py        (writes test/golden/tokenizers/goldens.json, a minute)

Vocabularies are trained anew only where that file is missing; all else is the same, byte by byte. SentencePiece only compiles the rules of the `Precompiled` normalizers.
"""

import json
import pathlib
import sys

import tokenizers

from models import added_token_cases, file_cases, model_cases, trained
from steps import decoder_cases, normalizer_cases, post_processor_cases, pre_tokenizer_cases

goldens = pathlib.Path(__file__).parents[2] / "test/golden/tokenizers/goldens.json"
target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else goldens
# training breaks ties at random: the vocabularies that are there stay
models = json.loads(goldens.read_text(encoding="utf-8"))["models"] if goldens.exists() else trained()
cases = [
    *normalizer_cases(), *pre_tokenizer_cases(), *post_processor_cases(), *decoder_cases(),
    *model_cases(models), *added_token_cases(), *file_cases(models),
]
names = [case["name"] for case in cases]
assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
dumped = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
target.parent.mkdir(parents=True, exist_ok=True)
with target.open("w", encoding="utf-8") as file:
    file.write(f'{{"tokenizers":"{tokenizers.__version__}",\n"models":{dumped(models)},\n"cases":[\n')
    file.write(",\n".join(map(dumped, cases)) + "\n]}\n")
print(f"{len(cases)} cases, {sum(len(case['texts']) for case in cases)} texts, {sum(len(case['decoded']) for case in cases)} decoded, {target.stat().st_size} bytes")
