"""Models with every option, added tokens, and files as those of well-known models, each over a small vocabulary."""

import itertools
import json

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from build import added, case, file_of, word_level
from steps import BLOOM, CL100K, DEEPSEEK3, GPT2, GPT4O, LLAMA3, QWEN2, charsmap, PRECOMPILED
from texts import ADDED, COMMON, CORPUS, FEW

SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def trained():
    """The model of each name, as JSON."""
    out = {}

    def train(name, model, trainer, pre=None, normalizer=None):
        tokenizer = Tokenizer(model)
        if pre is not None:
            tokenizer.pre_tokenizer = pre
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        tokenizer.train_from_iterator(CORPUS, trainer)
        out[name] = json.loads(tokenizer.to_str())["model"]

    train(
        "bytes", models.BPE(), trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    )
    train(
        "pieces", models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        trainers.BpeTrainer(vocab_size=480, special_tokens=SPECIAL + BYTES, show_progress=False),
        pre_tokenizers.Metaspace(),
    )
    train("letters", models.BPE(unk_token="<unk>"), trainers.BpeTrainer(vocab_size=150, special_tokens=SPECIAL, show_progress=False), pre_tokenizers.Whitespace())
    train(
        "continued", models.BPE(unk_token="<unk>", continuing_subword_prefix="##"),
        trainers.BpeTrainer(vocab_size=220, special_tokens=SPECIAL, continuing_subword_prefix="##", show_progress=False), pre_tokenizers.Whitespace(),
    )
    train(
        "ended", models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
        trainers.BpeTrainer(vocab_size=220, special_tokens=SPECIAL, end_of_word_suffix="</w>", show_progress=False), pre_tokenizers.Whitespace(),
    )
    train(
        "both", models.BPE(unk_token="<unk>", continuing_subword_prefix="@@", end_of_word_suffix="</w>"),
        trainers.BpeTrainer(vocab_size=240, special_tokens=SPECIAL, continuing_subword_prefix="@@", end_of_word_suffix="</w>", show_progress=False), pre_tokenizers.Whitespace(),
    )
    train(
        "unigram", models.Unigram(), trainers.UnigramTrainer(vocab_size=160, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False),
        pre_tokenizers.Metaspace(),
    )
    train(
        "wordpiece", models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=240, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False),
        pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(),
    )
    unigram = out["unigram"]["vocab"]
    # scores of real files have many digits; six tell the same
    out["unigram"]["vocab"] = [[token, round(score, 6)] for token, score in unigram]
    out["unigram bytes"] = {
        "type": "Unigram", "unk_id": 0, "byte_fallback": True,
        "vocab": [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], *[[byte, 0.0] for byte in BYTES], *out["unigram"]["vocab"][3:]],
    }
    return out


def with_options(model, **options):
    return {**model, **options}


def model_cases(trained_models):
    def one(name, model, texts=COMMON, sequences=(), options={}, **steps):
        file = file_of(with_options(trained_models[model], **options), **steps)
        return case(name, file, texts, sequences, (model, options))

    special = [added(i, t, True) for i, t in enumerate(SPECIAL)]
    whitespace = {"type": "Whitespace"}
    words = ["lowest newer", "hello hellos", "zzz", "hezlo", "\u4e2d\u6587", "h", "the \U0001f363the", "a<unk>b", "\u00e9\u00fc", "zz\u4e2dzz", "", "worldzz zz"]
    for model, fuse, fallback, ignore in itertools.product(["letters", "pieces", "continued", "ended", "both"], *[[True, False]] * 3):
        options = {"fuse_unk": fuse, "byte_fallback": fallback, "ignore_merges": ignore}
        yield one(f"BPE {model} {list(options.values())}", model, words, options=options, pre_tokenizer=whitespace, added_tokens=special[1:])
        if model in ("letters", "pieces"):
            yield one(f"BPE {model} {list(options.values())}, unsplit", model, [*words, *FEW], options=options, added_tokens=special[1:])
    yield one("BPE without unknown", "letters", words, options={"unk_token": None}, pre_tokenizer=whitespace)
    yield one("BPE with an unknown that is missing", "letters", words, options={"unk_token": "<none>"}, pre_tokenizer=whitespace)
    yield one("BPE without dropout", "letters", words, options={"dropout": 0.0}, pre_tokenizer=whitespace)
    some = {byte: 3 + i for i, byte in enumerate(BYTES[0x80:0xC0])}
    partial = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": False, "byte_fallback": True, "vocab": {"<unk>": 0, "a": 1, "b": 2, **some}, "merges": []}
    for fuse in [True, False]:
        file = file_of({**partial, "fuse_unk": fuse})
        yield case(f"BPE with some bytes {fuse}", file, ["a\u4e2db", "\u4e2d\u4e2da", "\u0080\u0081", "zza", "z\u0080a", "b"])
    # the same token in several ways, and pairs that overlap
    ties = {"type": "BPE", "vocab": {t: i for i, t in enumerate(["a", "b", "c", "ab", "bc", "abc", "aa", "aaa", "aaaa", "bb"])}, "merges": [["a", "b"], ["b", "c"], ["a", "bc"], ["ab", "c"], ["a", "a"], ["aa", "a"], ["aa", "aa"], ["b", "b"]]}
    runs = ["abc", "aabc", "aaaaa", "aaaaaaaa", "abcabc", "bbbb", "aabbcc", "a" * 33, "abab" * 9]
    yield case("BPE ties", file_of({**ties, "unk_token": None}), runs)
    yield case("BPE ties in text form", file_of({**ties, "merges": ["#version: 0.2", *[" ".join(m) for m in ties["merges"]]]}), runs)

    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    for model in ["unigram", "unigram bytes"]:
        yield one(f"Unigram: {model}", model, [*COMMON, *words], pre_tokenizer=metaspace, decoder=metaspace)
        yield one(f"Unigram: {model}, unsplit", model, [*FEW, *words])
        yield one(f"Unigram: {model}, special", model, [*words, "x<s>y</s>"], added_tokens=special, pre_tokenizer=metaspace, decoder={"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace]})
    yield one("Unigram bytes switched off", "unigram bytes", words, options={"byte_fallback": False}, pre_tokenizer=metaspace)
    yield one("Unigram without unknown", "unigram", words, options={"unk_id": None}, pre_tokenizer=metaspace)
    vocab = [["<unk>", 0.0], ["a", -1.0], ["b", -1.0], ["ab", -2.0], ["abc", -5.0], ["c", -2.0], ["bc", -3.0], ["\u4e2d", -9.0], ["\U0001f363a", -1.0]]
    yield case("Unigram ties", file_of({"type": "Unigram", "unk_id": 0, "vocab": vocab}), ["ab", "abc", "ababc", "zzab", "a\u4e2dz", "\U0001f363", "\U0001f363ab\U0001f363", "<unk>a", "z<unk>z", "xyz\u4e2d"])

    bert = {"type": "BertPreTokenizer"}
    for options in [{}, {"max_input_chars_per_word": 3}, {"continuing_subword_prefix": ""}, {"continuing_subword_prefix": "h"}, {"unk_token": "[MASK]"}, {"unk_token": "[NONE]"}]:
        yield one(f"WordPiece {options}", "wordpiece", [*words, "unbelievable", "\U0001f363\U0001f363\U0001f363", "\u4e2d\u6587\u5b57"], options=options, pre_tokenizer=bert, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})
    for unknown in ["[UNK]", "[NONE]"]:
        model = {**word_level({"[UNK]": 0, "a": 1, "\u4e2d": 2}), "unk_token": unknown}
        yield case(f"WordLevel {unknown}", file_of(model, pre_tokenizer={"type": "WhitespaceSplit"}), ["a", "a \u4e2d", "a b", "", "b b"])


def added_token_cases():
    letters = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ<>|/ \n.,_-\u2581") + ["\u00a0", "\u3000", "\u2003", "\u00fc", "\u00dc", "\u00e9", "\u00df", "U\u0308", "\u0308", "\U0001d400"]
    vocab = {"[UNK]": 0, **{letter: i + 1 for i, letter in enumerate(dict.fromkeys(letters))}}
    start = len(vocab)
    contents = ["<s>", "</s>", "abc", "ab", "<l>", "<r>", "<lr>", "word", "Worldly", "\u00dcber", "  double", "\n\n\n", "<mask>", "<|end|>", "\U0001f363", "stra\u00dfe"]
    options = {"<l>": {"lstrip": True}, "<r>": {"rstrip": True}, "<lr>": {"lstrip": True, "rstrip": True}, "word": {"single_word": True}, "<mask>": {"lstrip": True}, "<|end|>": {"rstrip": True, "single_word": True}}
    special = {"<s>", "</s>", "<mask>", "<|end|>"}
    lower = {"type": "Lowercase"}
    normalizers = {
        "none": None, "lower case": lower, "space": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "NFD": {"type": "Sequence", "normalizers": [{"type": "NFD"}, lower]}, "Strip": {"type": "Strip", "strip_left": True, "strip_right": True}, "ByteLevel": {"type": "ByteLevel"},
    }
    for (name, normalizer), normalized in itertools.product(normalizers.items(), [True, False, None]):
        tokens = [added(start + i, c, c in special, normalized, **options.get(c, {})) for i, c in enumerate(contents)]
        if name == "Strip":
            tokens = [token for token in tokens if token["content"].strip() != ""]  # Rust never ends on a token of nothing
            tokens = [{**token, "id": start + i} for i, token in enumerate(tokens)]
        model = word_level(vocab)
        file = file_of(model, added_tokens=tokens, normalizer=normalizer, pre_tokenizer={"type": "FixedLength", "length": 1}, decoder={"type": "Fuse"})
        yield case(f"added tokens: {name}, normalized {normalized}", file, [*ADDED, *FEW])
    for single, left, right, is_special in itertools.product(*[[True, False]] * 4):
        token = added(start, "<x>", is_special, None, single, left, right)
        other = added(vocab["x"], "x", False, False, single)
        file = file_of(word_level(vocab), added_tokens=[token, other], pre_tokenizer={"type": "WhitespaceSplit"}, decoder={"type": "Fuse"})
        texts = ["a <x> b", "a<x>b", "<x>", " <x> ", "<x><x>", "x <x>x", "a \u3000\n<x>\u00a0 b", "<x> x", "axa x", "\u00e9x", "x_ x- x\u0308"]
        yield case(f"added token: {[single, left, right, is_special]}", file, texts)
    spaces = [added(start + i, " " * (i + 2), False, False) for i in range(4)] + [added(start + 9, "<r>", False, False, rstrip=True)]
    for i, token in enumerate(spaces):
        token["id"] = start + i
    yield case("added tokens of spaces", file_of(word_level(vocab), added_tokens=spaces, pre_tokenizer={"type": "FixedLength", "length": 1}), ["a  b", "a         b", "<r>  a", "<r>     <r> ", " "])


def file_cases(trained_models):
    """Steps as real files have them."""
    split = lambda pattern: {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    byte_level = lambda space=False, regex=True: {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": regex}
    in_turn = lambda *steps: {"type": "Sequence", "pretokenizers": list(steps)}
    digits = {"type": "Digits", "individual_digits": True}
    to_text = byte_level(True)
    special = lambda model: [added(i, t, True) for i, t in enumerate(SPECIAL)]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    begin = {
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, text], "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    replace = lambda a, b: {"type": "Replace", "pattern": {"String": a}, "content": b}
    metaspace = lambda scheme, cut: {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": cut}
    join = [replace("\u2581", " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    nmt = {"type": "Precompiled", "precompiled_charsmap": charsmap(PRECOMPILED["characters"])}
    ignore = {"ignore_merges": True}
    files = {
        "GPT-2": ("bytes", {}, dict(pre_tokenizer=byte_level(), post_processor=byte_level(True), decoder=to_text)),
        "OPT": ("bytes", {}, dict(pre_tokenizer=byte_level(), post_processor=begin, decoder=to_text)),
        "RoBERTa": ("bytes", {}, dict(pre_tokenizer=byte_level(True), post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": True, "add_prefix_space": True}, decoder=to_text)),
        "GPT-NeoX": ("bytes", {}, dict(normalizer={"type": "NFC"}, pre_tokenizer=byte_level(), post_processor=byte_level(), decoder=to_text)),
        "BLOOM": ("bytes", {}, dict(pre_tokenizer=in_turn(split(BLOOM), byte_level(False, False)), post_processor=byte_level(True), decoder=to_text)),
        "Falcon": ("bytes", {}, dict(pre_tokenizer=in_turn({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(), {"type": "Digits", "individual_digits": False}, {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": False}), decoder=to_text)),
        "StarCoder": ("bytes", {}, dict(pre_tokenizer=in_turn(digits, byte_level()), decoder=to_text)),
        "SmolLM2": ("bytes", {}, dict(pre_tokenizer=in_turn(digits, byte_level()), decoder=to_text)),
        "Llama 3": ("bytes", ignore, dict(pre_tokenizer=in_turn(split(LLAMA3), byte_level(False, False)), post_processor={"type": "Sequence", "processors": [byte_level(), begin]}, decoder=to_text)),
        "Qwen 2": ("bytes", {}, dict(normalizer={"type": "NFC"}, pre_tokenizer=in_turn(split(QWEN2), byte_level(False, False)), post_processor=byte_level(False, False), decoder=to_text)),
        "Phi 4": ("bytes", {}, dict(pre_tokenizer=in_turn(split(CL100K), byte_level(False, False)), decoder=to_text)),
        "Mistral Nemo": ("bytes", ignore, dict(pre_tokenizer=in_turn(split(GPT4O), byte_level(False, False)), post_processor=begin, decoder=to_text)),
        "DeepSeek 3": ("bytes", {}, dict(normalizer={"type": "Sequence", "normalizers": []}, pre_tokenizer=in_turn(split("\\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK3), byte_level(False, False)), post_processor=begin, decoder=to_text)),
        "Llama 2": ("pieces", {}, dict(normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace(" ", "\u2581")]}, post_processor=begin, decoder={"type": "Sequence", "decoders": [*join, strip]})),
        "Mistral": ("pieces", {}, dict(pre_tokenizer=metaspace("first", False), post_processor=begin, decoder={"type": "Sequence", "decoders": [*join, strip]})),
        "Phi 3": ("pieces", {}, dict(normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace(" ", "\u2581")]}, decoder={"type": "Sequence", "decoders": [*join, strip]})),
        "Gemma": ("pieces", {}, dict(normalizer=replace(" ", "\u2581"), post_processor=begin, decoder={"type": "Sequence", "decoders": join})),
        "Gemma 3": ("pieces", ignore, dict(normalizer=replace(" ", "\u2581"), pre_tokenizer={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}, post_processor=begin, decoder={"type": "Sequence", "decoders": join})),
        "T5": ("unigram", {}, dict(normalizer=nmt, pre_tokenizer=in_turn({"type": "WhitespaceSplit"}, metaspace("always", True)), post_processor=begin, decoder=metaspace("always", True))),
        "T5, newer": ("unigram", {}, dict(normalizer={"type": "Sequence", "normalizers": [nmt, {"type": "Strip", "strip_left": False, "strip_right": True}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]}, pre_tokenizer=metaspace("always", True), decoder=metaspace("always", True))),
        "XLM-R": ("unigram", {}, dict(normalizer=nmt, pre_tokenizer=metaspace("always", True), post_processor=begin, decoder=metaspace("always", True))),
        "ALBERT": ("unigram", {}, dict(normalizer={"type": "Sequence", "normalizers": [replace("``", '"'), replace("''", '"'), {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, nmt]}, pre_tokenizer=metaspace("always", True), decoder=metaspace("always", True))),
        "CLIP": ("ended", {}, dict(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]}, pre_tokenizer=in_turn({"type": "Split", "pattern": {"Regex": "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}, "behavior": "Removed", "invert": True}), decoder={"type": "BPEDecoder", "suffix": "</w>"})),
        "saved in training": ("bytes", {}, dict(pre_tokenizer=byte_level(), decoder=to_text, truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}, padding={"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"})),
    }
    for name, (model, options, steps) in files.items():
        file = file_of(with_options(trained_models[model], **options), added_tokens=special(model), **steps)
        size = len(trained_models[model]["vocab"])
        sequences = [[i % size for i in range(k, k + 8 * 37, 37)] for k in range(0, 60, 7)]
        yield case(f"as {name}", file, [*COMMON, *CORPUS[:2], "x<s>y </s>  z", "<s>"], sequences, (model, options))
    bert = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    file = file_of(
        trained_models["wordpiece"], added_tokens=[added(i, t, True) for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])], normalizer=bert, pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
    )
    yield case("as BERT", file, [*COMMON, *CORPUS, "a [MASK] b"], [], ("wordpiece", {}))
