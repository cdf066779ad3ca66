"""Normalizers, pre-tokenizers, post-processors and decoders, with every option."""

import itertools

from build import added, case, file_of, step_case, word_level
from texts import COMMON, FEW, SPACES

BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
LLAMA3 = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
CL100K = (
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+"
    "|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
)
GPT4O = (
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
DEEPSEEK3 = (
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
FALCON3 = "[0-9][0-9][0-9]"
GEMMA3 = "\u2581"

# constructs of Oniguruma, one each
PATTERNS = {
    "class": "[aeiou]", "negated class": "[^a-z]+", "nested class": "[a-c[x-z]]+", "intersection": "[a-z&&[^aeiou]]+",
    "digit": "\\d", "word": "\\w+", "not word": "\\W+", "space": "\\s+", "not space": "\\S+", "hexadecimal": "\\h+",
    "any": ".", "any with line ends": "(?:.|\\n)+?", "boundary": "\\b", "no boundary": "\\B", "begin of line": "^", "end of line": "$",
    "begin": "\\A.", "end": ".\\z", "end but for a line end": ".\\Z", "ahead": "a(?= )", "not ahead": "a(?! )", "behind": "(?<= )a", "not behind": "(?<! )a",
    "lazy": "a+?", "lazy run": "l.*?o", "counted": "a{2}", "counted up to": "a{,2}", "counted range": "\\d{2,3}", "counted lazily": "\\d{1,3}?",
    "possessive": "a++", "possessive option": "[a-z]?+[a-z]", "possessive star": "[a-z]*+o", "possessive words": "\\w++\\s",
    "atomic": "(?>a+)a", "atomic choice": "(?>a|ab|abc)", "atomic words": "(?>\\w+)!",
    "any case": "(?i:hello|[sk]t)", "any case, long s": "(?i:s)", "any case class": "(?i:[a-z])+", "any case negated": "(?i:[^s])+",
    "posix alpha": "[[:alpha:]]+", "posix digit": "[[:digit:]]+", "posix punct": "[[:punct:]]+", "posix space": "[[:space:]]+",
    "posix not alpha": "[[:^alpha:]]+", "posix word": "[[:word:]]+", "posix upper": "[[:upper:]]", "posix lower": "[[:lower:]]+",
    "letters": "\\p{L}+", "not letters": "\\P{L}+", "marks": "\\p{M}+", "punctuation": "\\p{P}", "symbols": "\\p{S}", "Han": "\\p{Han}+", "Hiragana": "\\p{Hiragana}+",
    "Alpha": "\\p{Alpha}+", "Lu": "\\p{Lu}", "negated property": "[^\\p{L}\\p{N}]+", "nothing": "", "star": "x*", "named": "(?<n>ab|a)", "hexadecimal escape": "\\x41|\\x{4e2d}|\\u6587",
    "alternatives": "ab|a|b", "escaped": "\\.|\\$|\\(", "brace": "\\{", "bracket first": "[]a]", "hyphen": "[a-]", "runs of spaces": " {2,}", "emoji": "\U0001f363|\U0001f469",
}


def normalizer_cases():
    def one(name, step, texts=COMMON):
        return step_case(f"normalizer: {name}", texts, normalizer=step)

    for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]:
        yield one(form, {"type": form})
    for left, right in itertools.product([True, False], repeat=2):
        yield one(f"Strip {left} {right}", {"type": "Strip", "strip_left": left, "strip_right": right}, COMMON + [s + "x" + s for s in SPACES])
    for text in ["\u2581", "ab", ""]:
        yield one(f"Prepend {text!r}", {"type": "Prepend", "prepend": text}, FEW)
    for pattern, content in [
        ({"String": " "}, "\u2581"), ({"String": "l"}, ""), ({"String": "."}, "$&"), ({"String": ""}, "-"), ({"String": "\U0001f363"}, "x"),
        ({"Regex": "\\s+"}, " "), ({"Regex": " {2,}"}, "\u2581"), ({"Regex": "[^a-z]"}, ""), ({"Regex": "x*"}, "-"), ({"Regex": "^"}, ">"), ({"Regex": "a(?>b|bc)c"}, "#"),
    ]:
        yield one(f"Replace {pattern} {content!r}", {"type": "Replace", "pattern": pattern, "content": content}, COMMON[:12])
    for clean, chinese, accents, lower in itertools.product([True, False], [True, False], [None, True, False], [True, False]):
        options = {"clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents, "lowercase": lower}
        telling = [COMMON[i] for i in (6, 11, 12, 13, 18, 19)]
        yield one(f"BertNormalizer {list(options.values())}", {"type": "BertNormalizer", **options}, telling)
    both = [{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}, {"type": "Replace", "pattern": {"String": "a"}, "content": "bb"}]
    yield one("Sequence", {"type": "Sequence", "normalizers": both})
    yield one("Sequence of none", {"type": "Sequence", "normalizers": []}, FEW)
    for label, rules in PRECOMPILED.items():
        yield one(f"Precompiled, {label}", {"type": "Precompiled", "precompiled_charsmap": charsmap(rules)})


# what becomes of what; a grapheme whose beginning has a rule is replaced whole
PRECOMPILED = {
    "characters": {"\u00a0": " ", "\u3000": " ", "\u2028": " ", "\t": " ", "\n": " ", "\u00ad": "", "\u200d": " ", "\ufb01": "fi", "\uff21": "A", "\u2460": "1", "\u0001": ""},
    "graphemes": {"e\u0301": "\u00e9", "e": "E", "\u0301": "", "\u4e2d": "<zhong>", "\U0001f469": "w", "\U0001f1e9": "D", "\r\n": "\n", "\r": "R"},
}


def charsmap(rules):
    """As SentencePiece compiles rules."""
    import base64
    import io
    import tempfile

    import sentencepiece as spm

    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        hexadecimal = lambda text: " ".join(f"{ord(character):X}" for character in text)
        for source, target in rules.items():
            file.write(f"{hexadecimal(source)}\t{hexadecimal(target)}\n")
        file.flush()
        model = io.BytesIO()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c d e f g"] * 5), model_writer=model, vocab_size=13, model_type="char",
            normalization_rule_tsv=file.name, minloglevel=2,
        )
    from sentencepiece import sentencepiece_model_pb2 as pb

    proto = pb.ModelProto()
    proto.ParseFromString(model.getvalue())
    return base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()


def pre_tokenizer_cases():
    def one(name, step, texts=COMMON, **steps):
        return step_case(f"pre-tokenizer: {name}", texts, pre_tokenizer=step, **steps)

    for kind in ["Whitespace", "WhitespaceSplit", "BertPreTokenizer"]:
        yield one(kind, {"type": kind}, COMMON + [s + "a" + s + "!" + s for s in SPACES])
    for behavior in BEHAVIORS:
        yield one(f"Punctuation {behavior}", {"type": "Punctuation", "behavior": behavior})
    yield one("Punctuation", {"type": "Punctuation"}, COMMON[:6])
    for individual in [True, False]:
        yield one(f"Digits {individual}", {"type": "Digits", "individual_digits": individual}, COMMON[8:12])
    for length in [1, 3, 5]:
        yield one(f"FixedLength {length}", {"type": "FixedLength", "length": length}, COMMON[2:16])
    for delimiter in [" ", "\u4e2d", "\U0001f363"]:
        yield one(f"CharDelimiterSplit {delimiter}", {"type": "CharDelimiterSplit", "delimiter": delimiter})
    for space, trim, regex in itertools.product([True, False], [True, False], [True, False]):
        options = {"add_prefix_space": space, "trim_offsets": trim, "use_regex": regex}
        yield one(f"ByteLevel {list(options.values())}", {"type": "ByteLevel", **options}, COMMON if trim else FEW)
    first = ["Hello  world", " a", "\u2581a b", "\u00a0a", "", "\u00bd a", "\u4e2d a"]
    for scheme, split, replacement in itertools.product(["always", "first", "never"], [True, False], ["\u2581", "_", "l"]):
        options = {"replacement": replacement, "prepend_scheme": scheme, "split": split}
        yield one(f"Metaspace {list(options.values())}", {"type": "Metaspace", **options}, COMMON if replacement == "\u2581" else first)
    old = {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}
    yield one("Metaspace of old", old, FEW)
    last = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
    for before in [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}, {"type": "FixedLength", "length": 1}]:
        sequence = {"type": "Sequence", "pretokenizers": [before, last]}
        for normalizer in [
            None, {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "NFKD"}, {"type": "Prepend", "prepend": "."},
            {"type": "Replace", "pattern": {"Regex": "^.."}, "content": "ab"}, {"type": "Replace", "pattern": {"String": "H"}, "content": "xy"},
            {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        ]:
            texts = [*first, "\u0001b c", "\u0301b c", "H i", "!a b"]
            model = word_level({"[UNK]": 0, **{p: i + 1 for i, p in enumerate(dict.fromkeys(first_pieces()))}})
            file = file_of(model, normalizer=normalizer, pre_tokenizer=sequence)
            yield case(f"pre-tokenizer: first, {before['type']}, {normalizer and normalizer['type']} {normalizer and normalizer.get('content', '')}", file, texts)
    for behavior, invert in itertools.product(BEHAVIORS, [True, False]):
        for name, pattern in {
            "string": {"String": " "}, "strings": {"String": "aa"}, "empty": {"String": ""}, "regex": {"Regex": "\\s+|\\d"}, "star": {"Regex": "a*"}, "letters": {"Regex": "\\p{L}+"},
        }.items():
            texts = ["Hello  world 12", " a b ", "aaa aa a", "33 4444 x", "", "\U0001f363 \u4e2d"]
            step = {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
            yield one(f"Split {name} {behavior} {invert}", step, texts)
    for name, pattern in {
        "GPT-2": GPT2, "Llama 3": LLAMA3, "Qwen 2": QWEN2, "cl100k": CL100K, "GPT-4o": GPT4O, "DeepSeek 3": DEEPSEEK3, "BLOOM": BLOOM,
        "digits from the right": "\\d{1,3}(?=(?:\\d{3})*\\b)",
    }.items():
        yield one(f"Split as {name}", {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False})
    few = ["Hello, hello world!\n", "aaa aab ab a ba abc", "x1 22 333.5 $(y)", "\u4e2d\u6587\u3042\U0001f363 \u017ft \u212aT e\u0301 A\u00c9", "It's Skate SKI\r\n[]{}-"]
    for name, pattern in PATTERNS.items():
        yield one(f"pattern: {name}", {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}, few)


def first_pieces():
    letters = ["a", "b", "c", "H", "x", "y", "i", "!", ".", "\u2581", "\u00a0", "\u4e2d", "1", "2", "\u2044", "ab", "xy", "Hello", "world", "hello", "h", "xyello"]
    return [piece for letter in letters for piece in (letter, "\u2581" + letter, letter + letter)]


def post_processor_cases():
    vocab = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "b": 4, "<s>": 5, "</s>": 6}
    tokens = [added(i, t, True) for t, i in vocab.items() if t[0] in "[<"]
    texts = ["", "a", "a b", "a [SEP] b", "<s> a</s>", "c"]
    special = {"<s>": {"id": "<s>", "ids": [5], "tokens": ["<s>"]}, "two": {"id": "two", "ids": [1, 2], "tokens": ["[CLS]", "[SEP]"]}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    token = lambda id: {"SpecialToken": {"id": id, "type_id": 0}}
    pair = [text, {"Sequence": {"id": "B", "type_id": 1}}]
    template = lambda *single: {"type": "TemplateProcessing", "single": list(single), "pair": pair, "special_tokens": special}
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    bert = {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}
    steps = {
        "none": None, "ByteLevel": byte_level, "BertProcessing": bert,
        "RobertaProcessing": {"type": "RobertaProcessing", "sep": ["</s>", 6], "cls": ["<s>", 5], "trim_offsets": True, "add_prefix_space": False},
        "template before": template(token("<s>"), text), "template after": template(text, token("two")),
        "template around": template(token("two"), text, token("<s>")), "template of the text": template(text),
        "Sequence": {"type": "Sequence", "processors": [byte_level, template(token("<s>"), text)]},
        "Sequence of none": {"type": "Sequence", "processors": []},
        "Sequence of two": {"type": "Sequence", "processors": [bert, template(token("<s>"), text)]},
    }
    for name, step in steps.items():
        file = file_of(word_level(vocab), added_tokens=tokens, pre_tokenizer={"type": "WhitespaceSplit"}, post_processor=step)
        yield case(f"post-processor: {name}", file, texts)


def decoder_cases():
    tokens = [
        "[UNK]", "<s>", "Hello", "\u2581Hello", "\u2581world", "\u2581", "\u2581\u2581a\u2581b", "##lo", "##", "he", ".", ",", "?", "'", "n't", "'s", "'m", "'re", "'ve",
        "do not", "low</w>", "er</w>", "</w>", "<0xE4>", "<0xB8>", "<0xAD>", "<0x41>", "<0x0A>", "<0xFF>", "<0xG1>", "<0x1>", "<0xef>", "<0xBB>", "<0xBF>", "\u0120the", "\u00c3\u00a9", "\u00e4\u00b8",
        "\u0143", "\u010a", "\u4e2d", "\u00e9", "|", "<pad>", "h", "h|", "l", "aaa", "xax", "\U0001f363", " ", "  x ", "a b", "\ufeff", "\ufffd", "_a_", "\u00ef\u00bb\u00bf", "!", "",
    ]
    vocab = {token: id for id, token in enumerate(tokens) if token != "" or id == len(tokens) - 1}
    number = {token: id for token, id in vocab.items()}
    spelled = [
        ["Hello", "\u2581world"], ["\u2581Hello", "\u2581world"], ["\u2581", "\u2581", "Hello"], ["\u2581\u2581a\u2581b", "\u2581\u2581a\u2581b"], ["he", "##lo", "##", "##lo"], ["##lo", "he"],
        ["he", ".", ",", "?", "!", "'", "n't", "'s"], ["he", "'m", "'re", "'ve", "do not", "'", "he"], ["low</w>", "er</w>"], ["low</w>", "</w>", "he"], ["</w>"],
        ["<0xE4>", "<0xB8>", "<0xAD>"], ["<0xE4>", "<0xB8>"], ["<0xE4>", "he", "<0xB8>", "<0xAD>"], ["he", "<0x41>", "<0x0A>", "<0xFF>", "<0x41>", "he"], ["<0xG1>", "<0x1>", "<0x41>"],
        ["<0xef>", "<0xBB>", "<0xBF>", "<0x41>"], ["\u0120the", "\u00c3\u00a9"], ["\u00e4\u00b8", "\u0143"], ["\u00e4\u00b8", "\u010a"], ["\u00e4\u00b8", "\u4e2d", "\u0143"], ["\u00e9", "\u0120the"],
        ["\u00ef\u00bb\u00bf", "he"], ["h", "h", "<pad>", "h", "l", "l", "|", "he"], ["<pad>", "<pad>"], ["h|", "h|", "'s"], ["aaa", "xax"], ["aaa"], ["xax", "aaa", "aaa"], ["\U0001f363", "aaa"],
        [" ", "  x ", "a b"], ["<s>", "Hello", "<s>", "\u2581world", "<s>"], ["<s>"], ["<s>", "\u2581Hello"], ["\ufeff", "he", "\ufffd"], ["_a_", "_a_"], ["[UNK]", "he"], ["", "he", ""], ["\u4e2d"],
    ]
    sequences = [[number[t] for t in row] for row in spelled]
    fallback, fuse = {"type": "ByteFallback"}, {"type": "Fuse"}
    replace = lambda pattern, content: {"type": "Replace", "pattern": pattern, "content": content}
    strip = lambda content, start, stop: {"type": "Strip", "content": content, "start": start, "stop": stop}
    space = replace({"String": "\u2581"}, " ")
    steps = {
        "none": None, "ByteFallback": fallback, "Fuse": fuse, "ByteLevel": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "Llama 2": {"type": "Sequence", "decoders": [space, fallback, fuse, strip(" ", 1, 0)]}, "Gemma": {"type": "Sequence", "decoders": [space, fallback, fuse]},
        "ByteFallback and Metaspace": {"type": "Sequence", "decoders": [fallback, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}]},
        "Sequence of none": {"type": "Sequence", "decoders": []},
    }
    for prefix, cleanup in itertools.product(["##", "", "h"], [True, False]):
        steps[f"WordPiece {prefix!r} {cleanup}"] = {"type": "WordPiece", "prefix": prefix, "cleanup": cleanup}
    for scheme, replacement in itertools.product(["always", "first", "never"], ["\u2581", "_"]):
        steps[f"Metaspace {scheme} {replacement}"] = {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": True}
    for suffix in ["</w>", "a", ""]:
        steps[f"BPEDecoder {suffix!r}"] = {"type": "BPEDecoder", "suffix": suffix}
    for pad, delimiter, cleanup in [("<pad>", "|", True), ("<pad>", "|", False), ("", "|", True), ("l", "", True)]:
        steps[f"CTC {pad!r} {delimiter!r} {cleanup}"] = {"type": "CTC", "pad_token": pad, "word_delimiter_token": delimiter, "cleanup": cleanup}
    for content, start, stop in [("a", 1, 0), ("a", 2, 1), ("a", 0, 2), ("\U0001f363", 1, 1), (" ", 1, 1), ("a", 9, 0)]:
        steps[f"Strip {content} {start} {stop}"] = strip(content, start, stop)
    for pattern, content in [({"String": "\u2581"}, " "), ({"String": "a"}, "$&"), ({"Regex": "[aeiou]"}, ""), ({"Regex": "^a|a$"}, "-"), ({"Regex": "x*"}, "-"), ({"String": ""}, ".")]:
        steps[f"Replace {pattern} {content}"] = replace(pattern, content)
    for name, step in steps.items():
        file = file_of(word_level(vocab), added_tokens=[added(1, "<s>", True)], decoder=step)
        yield case(f"decoder: {name}", file, [], sequences)
