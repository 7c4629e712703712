"""Writes tests/fixtures/metrics.json: exact match and F1 as SQuAD's official evaluation script v1.1 defines them.

    python tests/oracle/metrics.py

Each entry is [prediction, gold answers, exact match, F1]. The definitions: lower case; no `string.punctuation`; no a, an,
the; words split at white space; F1 over the words as multisets; the best gold answer counts. Needs nothing but Python.
"""

import collections
import json
import random
import re
import string
from pathlib import Path

OUT = Path(__file__).parent.parent / "fixtures" / "metrics.json"
PIECES = """the The THE a A an An cat cats Cat the_cat theatre an-other a.k.a. b's 'a' "the" the-end (an) U.S. 3,000 24–10 é É
straße STRASSE İstanbul ΟΔΟΣ οδός “the” the’s …the… naïve nai\u0308ve a\u0301 漢字 東京 🦀 \u200ba _ __a__ - -- $5 50% & Ⅷ ½ ß""".split()
SPACES = [" ", " ", " ", " ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\x1c", "\x85", "\u200b", ""]


def words(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def exact(prediction, gold):
    return float(words(prediction) == words(gold))


def f1(prediction, gold):
    p, g = words(prediction), words(gold)
    same = sum((collections.Counter(p) & collections.Counter(g)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(p), same / len(g)
    return 2 * precision * recall / (precision + recall)


def main():
    random.seed(11)

    def text(n):
        return "".join(random.choice(PIECES) + random.choice(SPACES) for _ in range(random.randint(0, n)))

    cases = []
    for _ in range(400):
        golds = [text(5) for _ in range(random.randint(1, 4))]
        # Half of the predictions are near a gold answer.
        prediction = random.choice([text(6), random.choice(golds).swapcase() + random.choice(["", "!", " the", " cat"])])
        cases.append([prediction, golds, max(exact(prediction, g) for g in golds), max(f1(prediction, g) for g in golds)])
    OUT.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
