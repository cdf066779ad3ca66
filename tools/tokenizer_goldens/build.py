"""Cases: a tokenizer.json each, texts and ids, and what Python's tokenizers makes of them."""

import json

from tokenizers import Tokenizer


def vocabulary_of(pieces):
    """Every piece is a word, so that ids show where a text was cut and what it became."""
    vocab = {"[UNK]": 0}
    for piece in pieces:
        vocab.setdefault(piece, len(vocab))
    return vocab


def word_level(vocab):
    return {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}


def file_of(model, **steps):
    return {
        "version": "1.0",
        "truncation": steps.get("truncation"),
        "padding": steps.get("padding"),
        "added_tokens": steps.get("added_tokens", []),
        "normalizer": steps.get("normalizer"),
        "pre_tokenizer": steps.get("pre_tokenizer"),
        "post_processor": steps.get("post_processor"),
        "decoder": steps.get("decoder"),
        "model": model,
    }


def added(id, content, special=False, normalized=None, single_word=False, lstrip=False, rstrip=False):
    return {
        "id": id,
        "content": content,
        "single_word": single_word,
        "lstrip": lstrip,
        "rstrip": rstrip,
        "normalized": (not special) if normalized is None else normalized,
        "special": special,
    }


def pieces_of(steps, texts):
    """What normalizer and pre-tokenizer make of texts, found out with a tokenizer that knows no word."""
    tokenizer = Tokenizer.from_str(json.dumps(file_of(word_level({"[UNK]": 0}), **steps)))
    pieces = []
    for text in texts:
        normalized = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
        if tokenizer.pre_tokenizer:
            pieces += [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]
        elif normalized:
            pieces.append(normalized)
    return pieces


def step_case(name, texts, **steps):
    """A case of steps before the model."""
    model = word_level(vocabulary_of(pieces_of(steps, texts)))
    return case(name, file_of(model, **steps), texts)


def attempt(run):
    """None where Python raises."""
    try:
        return run()
    except BaseException as error:  # PanicException of Rust is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return None


def without_special(file):
    """
    The file with special tokens of its model spelled as no text is. `encode_special_tokens` of Python finds no added token, but
    still gives the id of one that is a piece of the model (`</s>` of a unigram vocabulary) to a text that spells it.
    """
    vocab = file["model"]["vocab"]
    pieces = set(vocab) if isinstance(vocab, dict) else {token for token, _ in vocab}
    special = pieces & {token["content"] for token in file["added_tokens"] if token["special"]}
    spell = lambda token: "\U0010ffff" + token if token in special else token
    model = {**file["model"]}
    if isinstance(model["vocab"], dict):
        model["vocab"] = {spell(token): id for token, id in model["vocab"].items()}
    else:
        model["vocab"] = [[spell(token), score] for token, score in model["vocab"]]
    if model.get("unk_token") is not None:
        model["unk_token"] = spell(model["unk_token"])
    if model.get("merges"):
        prefix = len(model.get("continuing_subword_prefix") or "")
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        pairs = [pair for pair in pairs if not pair[0].startswith("#version")]
        model["merges"] = [[left, right] for left, right in pairs if not special & {left, right, left + right[prefix:]}]
    tokens = [{**token, "content": spell(token["content"])} for token in file["added_tokens"]]
    return {**file, "model": model, "added_tokens": tokens}


def case(name, file, texts, sequences=(), model_name=None):
    """
    texts: [text, ids, ids without what stands around, ids where special tokens are text]; the last two only where they differ.
    decoded: [ids, text, text with special tokens]; the last only where it differs.
    """
    tokenizer = Tokenizer.from_str(json.dumps(file))
    # texts are encoded whole, and none is padded
    tokenizer.no_truncation()
    tokenizer.no_padding()
    plain_tokenizer = Tokenizer.from_str(json.dumps(without_special(file)))
    plain_tokenizer.no_truncation()
    plain_tokenizer.no_padding()
    plain_tokenizer.encode_special_tokens = True
    rows, decoded = [], []
    for text in texts:
        ids = attempt(lambda: tokenizer.encode(text).ids)
        bare = attempt(lambda: tokenizer.encode(text, add_special_tokens=False).ids)
        plain = attempt(lambda: plain_tokenizer.encode(text).ids)
        row = [text, ids, bare, plain]
        while len(row) > 2 and row[-1] == ids:
            row.pop()
        rows.append(row)
        if ids:
            decoded.append(ids)
    seen = []
    for ids in [*decoded, *sequences]:
        if ids in seen:
            continue
        seen.append(ids)
    results = []
    for ids in seen:
        text = attempt(lambda: tokenizer.decode(ids))
        whole = attempt(lambda: tokenizer.decode(ids, skip_special_tokens=False))
        results.append([ids, text] if text == whole else [ids, text, whole])
    kept = {key: value for key, value in file.items() if value not in (None, [], "1.0")}
    if model_name is not None:
        name_of_model, options = model_name
        kept["model"] = {"of": name_of_model, **options}
    return {"name": name, "file": kept, "texts": rows, "decoded": results}
