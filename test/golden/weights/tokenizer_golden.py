"""Golden ids of test/models/tokenizer.test.ts -> tokenizer.json.

Needs: pip install tokenizers==0.23.3 gguf==0.19.0. Run in this folder:
    python tokenizer_golden.py STORIES260K.gguf SMOLLM2_INSTRUCT.gguf
byteLevel      a vocabulary of 600 trained here, split by the rule of each family; ids by Rust's tokenizers
smollm2        SmolLM2's own vocabulary and rule (vocabulary not stored); ids by Rust's tokenizers
sentencePiece  the vocabulary of stories260K (karpathy/tinyllamas, MIT); ids by SentencePiece's algorithm as defined:
               join the neighbours whose union has the highest score, the leftmost first, until none has one
"""

import json
import sys

from gguf import GGUFReader
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXTS = {
    "prose": " = Robert Boulter = \n Robert Boulter is an English film , television and theatre actor . He had a guest @-@ "
    "starring role on the television series The Bill in 2000 .",
    "story": "Once upon a time, there was a little girl named Lily. She said, \"I can't; it's John's.\"",
    "code": "def f(x: int) -> str:\n    if x >= 10:\n\t\treturn f'{x:>8}'  # ok\n\n\nprint(f(12345678))\n",
    "digits": "0 12 345 6789 3.14159 1,000,000 ٠١٢٣ ½²³ Ⅷ 一二三 x2y 2nd",
    "unicode": "Ünïcödé — naïve café, Ελληνικά, русский, עברית, العربية, हिन्दी, 日本語のテキスト, 한국어",
    "emoji": "🙂 👩‍👩‍👧‍👦 🏳️‍🌈 é (e + acute) z̶a̷l̸g̵o̴ \U0001f9ff",
    "newlines": "a\nb\r\nc\n\n\nd\n \n e\t\tf  g   h \n",
    "spaces": "  two before, nbsp:\u00a0, ideographic:\u3000, nel:\u0085x, bom:\ufeffx, zero width:\u200bx, end   ",
    "contractions": "I'm you're HE'S WE'LL they'd o'clock 'tis don't'll '' ' s",
    "punctuation": "!!! ??? ... --- ___ $5.00 <b>x</b> a&b; C:\\dir [1](2) {3} ^~|`+=*%#@",
    "upper": "THE QUICK BROWN FOX iPhone XMLHttpRequest snake_case kebab-case",
    "empty": "",
    "space": " ",
}
SPECIAL_TEXT = "<|im_start|>user\nHi <|im_end|>\n<|endoftext|>"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
LLAMA_CPP_DEFAULT = [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"]


def bytes_after(*splits):
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def rules():
    """Each family's steps, with the library's own Digits and ByteLevel where the family's tokenizer.json has them."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return {
        "gpt-2": (None, byte_level, False),
        "smollm": (None, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level]), False),
        "llama-bpe": (None, bytes_after(isolated(LLAMA3)), True),
        "qwen2": (normalizers.NFC(), bytes_after(isolated(QWEN2)), False),
        "default": (None, bytes_after(*map(isolated, LLAMA_CPP_DEFAULT)), False),
    }


def byte_level(vocab, merges, pre, special):
    normalizer, pre_tokenizer, ignore_merges = rules()[pre]
    tokenizer = Tokenizer(models.BPE(vocab, [tuple(m.split(" ")) for m in merges], ignore_merges=ignore_merges))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return tokenizer


def ids_of(tokenizer, texts):
    return {name: tokenizer.encode(text, add_special_tokens=False).ids for name, text in texts.items()}


def trained_byte_level():
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([text for text in TEXTS.values() for _ in range(3)], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    texts = TEXTS | {"special": SPECIAL_TEXT}
    ids = {pre: ids_of(byte_level(model["vocab"], merges, pre, special), texts) for pre in rules()}
    return {"tokens": tokens, "merges": merges, "special": special, "ids": ids}


def field(reader, key):
    return reader.fields["tokenizer.ggml." + key].contents()


def smollm2(path):
    reader = GGUFReader(path)
    tokens, types = field(reader, "tokens"), field(reader, "token_type")
    special = [token for token, kind in zip(tokens, types) if kind == 3]
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = byte_level(vocab, field(reader, "merges"), "smollm", special)
    return {"ids": ids_of(tokenizer, TEXTS | {"special": SPECIAL_TEXT})}


def sentence_piece_ids(text, tokens, scores, types):
    """The definition, in quadratic time."""
    normal = {token: i for i, token in enumerate(tokens) if types[i] == 1}
    pieces = list(("\u2581" + text.replace(" ", "\u2581")) if text else "")
    while True:
        best = None
        for at in range(len(pieces) - 1):
            token = normal.get(pieces[at] + pieces[at + 1])
            if token is not None and (best is None or scores[token] > best[0]):
                best = (scores[token], at)
        if best is None:
            break
        at = best[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    ids = []
    for piece in pieces:
        ids += [normal[piece]] if piece in normal else [tokens.index(f"<0x{b:02X}>") for b in piece.encode()]
    return ids


def sentence_piece(path):
    reader = GGUFReader(path)
    tokens, types = field(reader, "tokens"), field(reader, "token_type")
    scores = [float(score) for score in field(reader, "scores")]
    ids = {name: [1, *sentence_piece_ids(text, tokens, scores, types)] for name, text in TEXTS.items()}
    return {"tokens": tokens, "scores": scores, "types": types, "ids": ids}


with open("tokenizer.json", "w") as file:
    golden = {
        "texts": TEXTS | {"special": SPECIAL_TEXT},
        "byteLevel": trained_byte_level(),
        "smollm2": smollm2(sys.argv[2]),
        "sentencePiece": sentence_piece(sys.argv[1]),
    }
    json.dump(golden, file, ensure_ascii=True, separators=(",", ":"))
    file.write("\n")
