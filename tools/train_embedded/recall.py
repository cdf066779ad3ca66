"""Windows that teach a model to look back: passages that come again, and records that are asked for later, in prose.

Prose, names and words come from the training text. The names and words of `eigenkv eval --task` are left out, as are its sentences: what
those tasks ask is held out. An eighth of the names and words are kept for `evaluate.py`.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

BOS = 1
# The weight of a token in the loss. A value is random where it is said, and known where it is asked for.
PROSE, SAID, COPIED, ASKED = 1.0, 0.2, 2.0, 5.0
LEAST_COPIED = 3  # tokens of a passage that come again before a reader can know which one it is

ROLES = (
    "cook captain miller widow sailor doctor judge baker shepherd porter curate carpenter gardener nurse clerk steward soldier smith "
    "stranger prophet governess lawyer merchant fisherman tailor colonel footman king queen priest scribe harpooner innkeeper brother"
).split()
THINGS = (
    "number sign colour house horse ship country debt age price gift reward room street book song garment ring token watchword motto "
    "dish trade village river hill gate seat lot portion rank dog master pupil partner errand wish fear secret answer choice burden"
).split()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# How a record is said, and how it is asked for; {s} is whose it is, {t} what it is, and the value follows. A record may also be asked for
# as it was said.
FRAMES = [
    ("The {t} of {s} is", ["What is the {t} of {s}? It is", "The {t} of {s}, as we heard, is", "Tell me the {t} of {s}. The {t} of {s} is"]),
    ("Now the {t} of {s} was", ["What was the {t} of {s}? It was", "and the {t} of {s} was"]),
    ("{s} has this {t}:", ["Which {t} has {s}? {s} has", "{s} had the {t}"]),
    ("The {t} that belongs to {s} is called", ["How is the {t} of {s} called? It is called", "The {t} of {s} is called"]),
    ("Remember that the {t} of {s} is", ["One asked, What is the {t} of {s}? and another answered, It is", "He remembered the {t} of {s}, which is"]),
    ("To {s} was given the {t}", ["Which {t} was given to {s}? The {t}", "to {s} was given the {t}"]),
    ("Whoever speaks to {s} shall say the word", ["He spoke to {s}, and he said the word", "They that spoke to {s} said the word"]),
    ("Open each speech before {s} with the word", ["So he opened the speech before {s} with the word", "open the speech before {s} with the word"]),
    ("Q: What is the {t} of {s}? A:", ["Q: Once more, what is the {t} of {s}? A:", "The {t} of {s} is"]),
]
# The same for lists and for lines: what comes before the record, between its name and its value, and after the value.
PAIRS = [("\n", ":", ""), ("\n", " =", ";"), ("\n", " --", ""), (" [", ":", "]"), (" <", ",", ">"), (" {", ":", "}"), ("\n- ", ":", "."), (" ", " ->", ";"), ("\n", ",", "")]
ASSIGNMENTS = [(" Let {s} =", " Let {s} = {o}."), ("\nset {s} to", "\nset {s} to {o};"), (" PUT {s} :=", " PUT {s} := {o}.")]
AGAIN = [" Once more:", "\n\nAgain:", " As it was said:", "\n\nIt is written:", "\n\nThe same words:", "\n\n", " "]


def pick(random, choices):
    return choices[random.integers(len(choices))]


@dataclass
class Record:
    asks: list  # texts that end where the value begins
    value: str
    end: str
    at: int = 0  # where the value stands, the last time
    stop: int = 0


@dataclass
class Window:
    """Ids with the weight of each, and the spans that a reader who looks back can know. Tokens that are copies of each other have the same
    number in `same`, and others 0."""

    ids: list = field(default_factory=lambda: [BOS])
    weights: list = field(default_factory=lambda: [0.0])
    same: list = field(default_factory=lambda: [0])
    spans: list = field(default_factory=list)  # (kind, start, stop, tokens since it was last there)

    def add(self, ids, weight):
        self.ids.extend(ids)
        self.weights.extend([weight] * len(ids))
        self.same.extend([0] * len(ids))

    def add_again(self, start, stop, weight):
        """Adds the ids from start to stop once more."""
        for at in range(start, stop):
            self.same[at] = self.same[at] or at
        self.ids.extend(self.ids[start:stop])
        self.weights.extend([weight] * (stop - start))
        self.same.extend(self.same[start:stop])


class Recall:
    def __init__(self, documents, tokenizer, left_out=(), held_out=False):
        """documents: texts. left_out: words that are never a name or a value. held_out: takes the words kept for evaluation."""
        self.encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
        pieces = [re.split(r"(?<=[.!?;])(?=\s)", text) for text in documents]
        encoded = iter(tokenizer.encode_batch([p for parts in pieces for p in parts], add_special_tokens=False))
        self.documents = [[next(encoded).ids for _ in parts] for parts in pieces]
        text, left_out = " ".join(documents), {word.lower() for word in left_out}
        known = Counter(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,9}\b", text))
        words = Counter(re.findall(r"(?<= )[a-z]{3,9}\b", text))
        kept = lambda counts, least: [
            word
            for i, word in enumerate(sorted(w for w, count in counts.items() if count >= least and w.lower() not in left_out))
            if (i % 8 == 0) == held_out
        ]
        self.names, self.words = kept(known, 3), kept(words, 8)

    def value(self, random, kind):
        if kind == "word":
            return pick(random, self.words)
        if kind == "name":
            return pick(random, self.names)
        if kind == "number":
            digits = random.integers(2, 6)
            return str(random.integers(10 ** (digits - 1), 10**digits))
        if kind == "code":
            return "".join(pick(random, LETTERS + "0123456789") for _ in range(random.integers(2, 5)))
        return f"{pick(random, self.words)} {pick(random, self.words)}"

    def subject(self, random, kind):
        if kind == "role":
            return "the " + pick(random, ROLES)
        if kind == "letter":
            return pick(random, LETTERS) + pick(random, ["", "", *"123456789"])
        return pick(random, self.names if kind == "name" else self.words)

    def records(self, random, count):
        """Records of one form, about different subjects: (text before the value, Record). Those of one list must come in their order."""
        value = pick(random, ["word", "word", "number", "code", "two", "name"])
        form = pick(random, ["frame", "frame", "pair", "pair", "assignment"])
        kind = "letter" if form == "assignment" else pick(random, ["name", "name", "role", "word"] if form == "frame" else ["name", "name", "word"])
        subjects = list(dict.fromkeys(self.subject(random, kind) for _ in range(2 * count)))[:count]
        if form == "assignment":
            yield from self.assignments(random, subjects, "number" if random.random() < 0.7 else value)
            return
        thing, (said, asks) = pick(random, THINGS), pick(random, FRAMES)
        before, between, after = pick(random, PAIRS)
        lead = pick(random, [" ", "\n", "\n\n"])
        for subject in subjects:
            if form == "pair":
                text = f"{before}{subject}{between}"
                yield text, Record([text], self.value(random, value), after)
            else:
                fill = lambda form: re.sub(r"^[a-z]", lambda m: m[0].upper(), form.format(t=thing, s=subject))
                yield " " + fill(said), Record([" " + fill(said), *(lead + fill(ask) for ask in asks)], self.value(random, value), ".")

    def assignments(self, random, subjects, value):
        """`Let A = 4821.`, `Let B = A.`; asked for with both names, since small models do not follow a chain that is left out."""
        said, passed = pick(random, ASSIGNMENTS)
        end = ";" if passed.endswith(";") else "."
        for first, second in zip(subjects[::2], subjects[1::2]):
            number, link = self.value(random, value), passed.format(s=second, o=first)
            asks = [said.format(s=first), f"{link[:-1]} {said.split()[-1]}"]
            yield said.format(s=first), Record(asks, number, end)
            yield link, None

    def window(self, random, length):
        """length + 1 ids that begin a document, with prose between what is said and asked for."""
        window, records = Window(), []
        prose = self.sentences(random)
        prose_share, copy_share = pick(random, [0.15, 0.4, 0.6, 0.8]), pick(random, [0.05, 0.15, 0.5])
        to_say = [r for _ in range(random.integers(1, 4)) for r in self.records(random, int(random.integers(2, 13)))]
        while len(window.ids) <= length:
            draw = random.random()
            if draw < prose_share:
                window.add(next(prose), PROSE)
            elif draw < prose_share + (1 - prose_share) * copy_share and len(window.ids) > 48:
                self.copy(random, window)
            elif to_say and (not records or random.random() < 0.45):
                self.say(window, *to_say.pop(0), records)
            elif records:
                self.ask(random, window, self.to_ask(random, records))
            else:
                window.add(next(prose), PROSE)
        return window

    def sentences(self, random):
        while True:
            document = pick(random, self.documents)
            start = random.integers(len(document))
            yield from document[start : start + int(random.integers(1, 20))]

    def say(self, window, text, record, records):
        window.add(self.encode(text), PROSE)
        if record is not None:
            record.at = len(window.ids)
            window.add(self.encode(" " + record.value), SAID)
            record.stop = len(window.ids)
            window.add(self.encode(record.end), PROSE)
            records.append(record)

    def to_ask(self, random, records):
        """Half of the time the one that was last seen longest ago."""
        return min(records, key=lambda record: record.at) if random.random() < 0.5 else pick(random, records)

    def ask(self, random, window, record):
        window.add(self.encode(pick(random, record.asks)), PROSE)
        start = len(window.ids)
        window.add_again(record.at, record.stop, ASKED)
        window.spans.append(("record", start, len(window.ids), start - record.at))
        record.at, record.stop = start, len(window.ids)
        window.add(self.encode(record.end), PROSE)

    def copy(self, random, window):
        """Words of this window again; or, one time in four, words in no order, so that only looking back tells the next one."""
        if random.random() < 0.25:
            listed = "".join(f" {self.value(random, pick(random, ['word', 'name', 'number']))}" for _ in range(random.integers(3, 16)))
            start = len(window.ids)
            window.add(self.encode(listed), SAID)
            stop = len(window.ids)
        else:
            count = int(random.integers(10, 65))
            start = int(random.integers(1, max(2, len(window.ids) - count)))
            stop = min(start + count, len(window.ids))
        window.add(self.encode(pick(random, AGAIN)), PROSE)
        at, known = len(window.ids), min(start + LEAST_COPIED, stop)
        window.add_again(start, known, PROSE)
        window.add_again(known, stop, COPIED)
        window.spans.append(("copy", at + known - start, len(window.ids), at - start))


def task_words(source):
    """The names and words of the package's tasks, from the text of words.ts."""
    return {word for quoted in re.findall(r"'([A-Za-z ]{40,})'", source) for word in quoted.split()}
