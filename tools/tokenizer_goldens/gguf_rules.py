"""
Goldens of the rules by which GGUF files split text (`tokenizer.ggml.pre`): the ids that llama.cpp gives, for
test/models/tokenizer/gguf_rules.test.ts.

    pip install gguf==0.19.0 tokenizers==0.23.3
    python tools/tokenizer_goldens/gguf_rules.py VOCAB_IDS      (the program of vocab_ids.cpp; a minute)

llama.cpp's regular expressions know no classes such as \\p{Lu}, so it splits by near ones where a model's own tokenizer.json has them.
The rules of OWN come from Python's tokenizers instead, with the pattern that llama.cpp's source quotes. llama.cpp normalizes nothing;
texts of COMPOSED are in form C before they come to it, as the models' own normalizers have it.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

import gguf
from tokenizers import Tokenizer

from build import file_of
from steps import BLOOM, GPT2, GPT4O
from texts import COMMON

NAMES = {
    "gpt2": (
        "gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe gigachat a.x-4.0 mellum exaone4 jais trillion "
        "granite-docling mpt olmo modern-bert smollm starcoder refact codeshell exaone minerva-7b mellum2 command-r llama-bpe llama3 llama-v3 "
        "falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano glm4 glm5 dbrx smaug-bpe chatglm-bpe minicpm5 qwen2 deepseek-r1-qwen kormo "
        "f2llmv2 megrez stablelm2 hunyuan solar-open grok-2 laguna ufakzeka qwen35 seed-coder bailingmoe bailingmoe2 llada-moe exaone-moe gpt-4o "
        "llama4 kanana2 talkie minimax-m2 granite-embed-multi-97m tiny_aya cohere2moe tekken youtu kimi-k2 deepseek-v3 hunyuan-dense "
        "joyai-llm hy_v4 spark2_5 deepseek-llm deepseek-coder afmoe superbpe bloom poro-chat gpt3-finnish viking falcon chameleon default"
    ).split(),
    "pieces": ["gemma4", "granite-embed-multi-311m", "sarvam-moe"],
}
COMPOSED = "mpt olmo modern-bert command-r qwen2 deepseek-r1-qwen kormo f2llmv2 megrez qwen35".split()

split = lambda pattern: {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
TEKKEN = (
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
BAILING = "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
YOUTU = "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+"
EXAONE = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]"
    "|\\s+(?!\\S)|\\s+"
)
KIMI = (
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
falcon = [
    {"type": "Punctuation", "behavior": "Contiguous"}, {**bytes_only, "use_regex": True}, {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]"),
]
OWN = {
    "gpt-4o llama4 kanana2 talkie minimax-m2": [split(GPT4O), bytes_only],
    "granite-embed-multi-97m": [split(GPT4O), bytes_only],
    "tiny_aya cohere2moe": [split("\\d{1,3}(?=(?:\\d{3})*\\b)"), split(GPT4O), bytes_only],
    "tekken": [split(TEKKEN), bytes_only],
    "youtu": [split(YOUTU), split(GPT4O.replace("{1,3}", "")), bytes_only],
    "bailingmoe bailingmoe2 llada-moe": [split(BAILING), bytes_only],
    "exaone-moe": [split(EXAONE), bytes_only],
    "kimi-k2": [split(KIMI), bytes_only],
    "bloom poro-chat gpt3-finnish": [split(BLOOM), bytes_only],
    "viking": [split(BLOOM), split("\\p{N}"), bytes_only],
    "falcon": falcon,
    "deepseek-coder": [*map(split, ["[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", "\\p{N}"]), bytes_only],
}
# where llama.cpp takes white space beyond ASCII for none of the class above, and this rule has the class, too: not compared
LEFT_OUT = {"deepseek-llm": [COMMON[6], COMMON[-1]]}
IGNORE_MERGES = ["tekken", "youtu", "granite-embed-multi-97m"]

TEXTS = [
    *COMMON,
    "1234567 12 x12345y 1,000,000.00 3 33 333 3333 33333 333333",
    "I'VE don't it'S they'Ll we'd 'tis '\u017f",
    "camelCase HTTPServer XMLhttp \u01c5abc \u0130stanbul \u00dcBER\u00fcber",
    "a/b//c/\n/d\r\n\r\n  \n\n x\n",
    "\u6211\u60f3\u5728apple\u5de5\u4f5c1314151\u5929\uff5e \u3072\u3089\u30ab\u30bf \ud55c\uad6d\uc5b4 \u3105\u3106 \u2026\u2026\uff01",
    "\u1780\u17b6\u1793\u17cb\u178f\u17c2\u1796\u17b7\u179f\u17c1\u179f\u17a2\u17b6\u1785 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd",
    "IMGIMGABCZ <sentinel:12> IMGIMG",
    "!!hello ...world (x) #tag @me `code` --flag",
    "one two three hello hellooo",
]


def vocabulary_of(texts):
    """Tokens and merges that join wherever they may, so that ids show where a text was cut."""
    pieces = ["".join(map(BYTES.__getitem__, text.encode())) for text in texts]
    tokens, merges = dict.fromkeys(BYTES.values()), {}
    for width in [2, 4, 8]:
        half = width // 2
        found = {piece[i : i + width]: None for piece in pieces for i in range(len(piece) - width + 1) if i % half == 0 or width == 2}
        for token in shuffled(found):
            if token[:half] in tokens and token[half:] in tokens:
                tokens[token] = None
                merges[f"{token[:half]} {token[half:]}"] = None
    # a word that no merges give, which only some rules take whole
    for word in ["hello", "\u0120hello", "\u0120two"]:
        tokens.setdefault(word)
    return [*tokens, "<s>", "</s>"], list(merges)


def shuffled(items):
    out = list(items)
    random.Random(1).shuffle(out)
    return out


def byte_characters():
    """GPT-2's printable character for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


BYTES = byte_characters()


def pieces_of(texts):
    """The same in SentencePiece's spelling, with tokens for bytes."""
    spelled = [text.replace(" ", "\u2581") for text in texts]
    characters = sorted({character for text in spelled[:12] for character in text} - {"\x00"})
    tokens = {**dict.fromkeys(["<pad>", "<eos>", "<bos>", "<unk>"]), **dict.fromkeys(f"<0x{byte:02X}>" for byte in range(256)), **dict.fromkeys(characters)}
    merges = {}
    for width in [2, 4]:
        half = width // 2
        found = {text[i : i + width]: None for text in spelled for i in range(len(text) - width + 1)}
        for token in shuffled(found):
            newlines = token.count("\n")
            if token[:half] in tokens and token[half:] in tokens and newlines in (0, width):
                tokens[token] = None
                merges[f"{token[:half]} {token[half:]}"] = None
    return list(tokens), list(merges)


def llama_cpp(program, kind, pre, tokens, merges, texts):
    """What llama.cpp makes of texts, in a file of this vocabulary."""
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        writer = gguf.GGUFWriter(file.name, "llama")
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types(types_of(kind, tokens))
        writer.add_token_merges(merges)
        first, last = ("<bos>", "<eos>") if kind == "pieces" else ("<s>", "</s>")
        writer.add_bos_token_id(tokens.index(first))
        writer.add_eos_token_id(tokens.index(last))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        lines = "".join(text.encode().hex() + "\n" for text in texts)
        output = subprocess.run([program, file.name], input=lines, capture_output=True, text=True, check=True).stdout
    flags, *ids = map(json.loads, output.splitlines())
    return flags["addBos"], ids


def types_of(kind, tokens):
    if kind == "gpt2":
        return [3 if token in ("<s>", "</s>") else 1 for token in tokens]
    return [3 if token in ("<pad>", "<eos>", "<bos>") else 2 if token == "<unk>" else 6 if token.startswith("<0x") else 1 for token in tokens]


def own(steps, ignore, tokens, merges, texts):
    """What Python's tokenizers makes of texts."""
    model = {"type": "BPE", "vocab": {token: id for id, token in enumerate(tokens)}, "merges": merges, "ignore_merges": ignore}
    tokenizer = Tokenizer.from_str(json.dumps(file_of(model, pre_tokenizer={"type": "Sequence", "pretokenizers": steps})))
    return [tokenizer.encode(text).ids for text in texts]


def main(program):
    composed = [unicodedata.normalize("NFC", text) for text in TEXTS]
    kinds = {}
    for kind, names in NAMES.items():
        tokens, merges = vocabulary_of([*TEXTS, *composed]) if kind == "gpt2" else pieces_of(TEXTS)
        rules = {}
        for name in names:
            texts = composed if name in COMPOSED else TEXTS
            add_bos, ids = llama_cpp(program, kind, name, tokens, merges, texts)
            for others, steps in OWN.items():
                if name in others.split():
                    near, ids = ids, own(steps, name in IGNORE_MERGES, tokens, merges, texts)
                    print(name, "llama.cpp differs in", [text for text, a, b in zip(texts, near, ids) if a != b])
            ids = [None if text in LEFT_OUT.get(name, []) else row for text, row in zip(texts, ids)]
            # names of one rule stand together
            rules.setdefault(json.dumps([add_bos, ids]), []).append(name)
        kinds[kind] = {
            "tokens": tokens, "types": types_of(kind, tokens), "merges": merges,
            "rules": [{"names": names, "addBos": json.loads(key)[0], "ids": json.loads(key)[1]} for key, names in rules.items()],
        }
    target = pathlib.Path(__file__).parents[2] / "test/golden/tokenizers/gguf_rules.json"
    dumped = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    rows = ",\n".join(f'{dumped(kind)}:{{"tokens":{dumped(of["tokens"])},\n"types":{dumped(of["types"])},\n"merges":{dumped(of["merges"])},\n"rules":[\n'
                      + ",\n".join(map(dumped, of["rules"])) + "\n]}" for kind, of in kinds.items())
    target.write_text(f'{{"texts":{dumped(TEXTS)},\n{rows}}}\n', encoding="utf-8")
    print({kind: [len(of["tokens"]), len(of["rules"])] for kind, of in kinds.items()}, target.stat().st_size, "bytes")


main(sys.argv[1])
