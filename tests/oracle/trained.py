"""Trains a small model by every task and method with the command line, and lets transformers use what was written: a whole
model as it is, an adapter by peft on its base.

    python tests/oracle/trained.py target/release/cloze

Prints for each directory the largest difference between the scores of Cloze's command and of transformers' pipeline.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers
from peft import PeftModel

from adapter import base_of
from checkpoint import canonical, stored_tensors

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "tasks"
# With a head for words, for three classes of pairs, for one value.
BASES = ["mlm", "nli", "stars"]
TOLERANCE = 1e-5
METHODS = ["full", "lora", "bitfit", "head"]

PLACES = ["paris", "london", "berlin", "tokyo"]
MOODS = [("great", "good"), ("terrible", "bad"), ("happy", "good"), ("sad", "bad")]


def squad():
    paragraphs = []
    for place in PLACES:
        context = f"it was hot . ada lived in {place} ."
        answers = [{"text": place, "answer_start": context.index(place)}]
        qas = [{"id": place, "question": "where was ada ?", "answers": answers}]
        paragraphs.append({"context": context, "qas": qas})
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]})


TASKS = {
    # Of each: its file, the text, the command, what it is asked, the architecture and transformers' task.
    "classify": (
        "d.tsv", "text\tlabel\n" + "".join(f"the movie was {word}\t{label}\n" for word, label in MOODS),
        "classify", ["the film was great", "a sad game"], "BertForSequenceClassification", "text-classification",
    ),
    "tag": (
        "d.conll", "".join(f"ada B-PER\nlived O\nin O\n{place} B-LOC\n\n" for place in PLACES),
        "tag", ["he lived in tokyo .", "paris was cold", "ada lived in london"], "BertForTokenClassification", "token-classification",
    ),
    "qa": (
        "d.json", squad(), "answer", [("where was he ?", "it was cold . he lived in tokyo .")],
        "BertForQuestionAnswering", "question-answering",
    ),
    "mlm": (
        "d.txt", "\n\n".join(f"the capital is {place} . it was hot" for place in PLACES),
        "fill-mask", ["the capital is [MASK] .", "it was [MASK]"], "BertForMaskedLM", "fill-mask",
    ),
}


def run(cloze, *arguments):
    said = subprocess.run([cloze, *map(str, arguments), "--json", "--device", "cpu"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return [json.loads(line) for line in said.stdout.splitlines()]


def load(directory, architecture):
    """The model in `directory`, by transformers alone or with peft."""
    kind = getattr(transformers, architecture)
    if not (directory / "adapter_config.json").exists():
        return kind.from_pretrained(directory)
    model = kind(transformers.BertConfig.from_pretrained(directory))
    # The base's own head may be another, or one of other labels.
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    stored = canonical(stored_tensors(base_of(directory)))
    model.load_state_dict({name: v for name, v in stored.items() if shapes.get(name) == v.shape}, strict=False)
    return PeftModel.from_pretrained(model, directory).merge_and_unload()


def ours(cloze, command, directory, asked):
    if command == "answer":
        return run(cloze, "answer", "--model", directory, "-q", asked[0], "-c", asked[1])
    return run(cloze, command, "--model", directory, asked)


def theirs(pipeline, command, asked):
    match command:
        case "answer":
            return [pipeline(question=asked[0], context=asked[1])]
        case "classify":
            return pipeline(asked, top_k=None)
        case _:
            return pipeline(asked)


def same(command, mine, other):
    """What must be equal beside the scores."""
    keys = {
        "answer": ["answer", "start", "end"], "classify": ["label"], "tag": ["entity", "word", "start", "end"],
        "fill-mask": ["token"],
    }[command]
    names = {"token": "token_str"} if command == "fill-mask" else {}
    return all(mine[key] == other[names.get(key, key)] for key in keys)


def check(cloze, base, task, method, area):
    name, text, command, questions, architecture, kind = TASKS[task]
    (area / name).write_text(text)
    directory = area / f"{base}-{task}-{method}"
    run(cloze, "train", task, "--model", FIXTURES / base, "--data", area / name, "--output", directory, "--method", method,
        "--epochs", "60", "--lr", "5e-2" if method == "head" else "1e-2", "--batch-tokens", "64")
    tokenizer = transformers.BertTokenizerFast.from_pretrained(directory)
    pipeline = transformers.pipeline(kind, model=load(directory, architecture), tokenizer=tokenizer)
    worst, count = 0.0, 0
    for asked in questions:
        found, expected = ours(cloze, command, directory, asked), theirs(pipeline, command, asked)
        assert len(found) == len(expected), (found, expected)
        for mine, other in zip(found, expected):
            assert same(command, mine, other), (mine, other)
            worst = max(worst, abs(mine["score"] - other["score"]))
            count += 1
    assert count > 0, "nothing to compare"
    assert worst <= TOLERANCE, f"{task} by {method} on {base}: off by {worst:.1e}"
    print(f"{base:5} {task:9} {method:7} {count:3} scores, largest difference {worst:.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cloze", type=Path)
    with tempfile.TemporaryDirectory() as area:
        for base in BASES:
            for task in TASKS:
                for method in METHODS:
                    check(parser.parse_args().cloze.resolve(), base, task, method, Path(area))
