"""Questions of a SQuAD 1.1 file in file order, and an evenly spaced choice of them."""

import json


def questions(path):
    """Every question as {"id", "question", "context"}."""
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    return [
        {"id": qa["id"], "question": qa["question"], "context": paragraph["context"]}
        for article in data
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


def evenly(items, n):
    """(index, item) for `n` items evenly spaced: item `i * len // n`."""
    n = min(n, len(items))
    return [(i * len(items) // n, items[i * len(items) // n]) for i in range(n)]
