"""Mixes the data that the default question answering model learns from.

    python benches/qa_training_data.py OUTPUT.json

Reads SQuAD 1.1's training set and SQuADShifts from ../shared/data/qa. Adds questions that their passage does not answer:
a share of SQuAD's questions is asked again of another paragraph of the same article, one that does not contain any of the
answers. Writes SQuAD 2.0 JSON. The same seed gives the same file.
"""

import json
import random
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared/data/qa"
SEED = 1
UNANSWERABLE_SHARE = 0.25


def articles(name):
    return json.loads((DATA / name / "train.json").read_text(encoding="utf-8"))["data"]


def unanswerable(article, draw):
    """Questions of an article, each with the number of a paragraph that does not answer it."""
    paragraphs = article["paragraphs"]
    for at, paragraph in enumerate(paragraphs):
        for question in paragraph["qas"]:
            if draw.random() >= UNANSWERABLE_SHARE:
                continue
            answers = [answer["text"].lower() for answer in question["answers"]]
            others = [
                other
                for other, candidate in enumerate(paragraphs)
                if other != at and not any(answer in candidate["context"].lower() for answer in answers)
            ]
            if others:
                yield draw.choice(others), question


def main():
    output = Path(sys.argv[1])
    draw = random.Random(SEED)
    squad = articles("squad11-train")
    added = 0
    for article in squad:
        for other, question in list(unanswerable(article, draw)):
            again = {"id": question["id"] + "-elsewhere", "question": question["question"], "answers": [], "is_impossible": True}
            article["paragraphs"][other]["qas"].append(again)
            added += 1
    data = squad + [a for name in ("squadshifts-new_wiki", "squadshifts-reddit", "squadshifts-amazon") for a in articles(name)]
    output.write_text(json.dumps({"version": "2.0", "data": data}, ensure_ascii=False), encoding="utf-8")
    total = sum(len(p["qas"]) for a in data for p in a["paragraphs"])
    print(f"{output}: {total} questions, {added} of them without an answer")


main()
