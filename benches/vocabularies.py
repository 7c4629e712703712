#!/usr/bin/env python3
"""Answers, masks and vectors of models with random weights under whole published vocabularies, against transformers.

    python benches/vocabularies.py --vocabularies DIR

DIR holds a folder a vocabulary, with its vocab.txt. README.md beside this file explains.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import (AutoTokenizer, BertConfig, BertForMaskedLM, BertForQuestionAnswering, logging, pipeline)

from harness import ROOT, Record, build

SCORE_ERROR = 1e-4
TEXTS = {
    "bert-base-uncased": (
        "Where did Ada live?",
        "Ada Lovelace, the daughter of Lord Byron, lived in London; she wrote notes in 1843.",
    ),
    "bert-base-multilingual-cased": (
        "¿Dónde vivió Ada?",
        "Ada Lovelace, née à Londres, écrivit des notes. 東京タワーは東京にある。Москва — столица России.",
    ),
    "bert-base-chinese": ("北京在哪里？", "北京是中华人民共和国的首都，位于华北平原的北部，背靠燕山。2008年举办了奥运会。"),
}


def random_model(directory, vocabulary, cls, hidden):
    """A two-layer model whose scores differ, with the vocabulary's tokenizer."""
    tokens = vocabulary.read_text(encoding="utf-8").rstrip("\n").count("\n") + 1
    config = BertConfig(vocab_size=tokens, hidden_size=hidden, num_hidden_layers=2, intermediate_size=128)
    model = cls(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 2:
                p.normal_(0, 0.3 if "embedding" in name else 0.6 / p.shape[1] ** 0.5)
            if name.startswith("qa_outputs"):
                p.mul_(20)
    model.save_pretrained(directory)
    shutil.copy(vocabulary, directory)
    cased = not vocabulary.parent.name.endswith("uncased")
    settings = {"do_lower_case": not cased, "tokenizer_class": "BertTokenizer", "model_max_length": 512}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def cloze(program, model, *args):
    command = [program, *args, "--model", str(model), "--device", "cpu", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def compare(theirs, ours, keys):
    """Whether the rows agree in `keys` (theirs, ours), and the largest difference of their scores."""
    same = [[row[a] for a, _ in keys] for row in theirs] == [[row[b] for _, b in keys] for row in ours]
    return same, max(abs(a["score"] - b["score"]) for a, b in zip(theirs, ours))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabularies", type=Path, required=True)
    args = parser.parse_args()
    logging.set_verbosity_error()
    torch.manual_seed(0)
    program, record = build()["cloze"], Record(ROOT / "benches" / "records" / "agreement.jsonl")
    for name, (question, context) in TEXTS.items():
        vocabulary = args.vocabularies / name / "vocab.txt"
        with tempfile.TemporaryDirectory() as temp:
            qa, words = Path(temp) / "qa", Path(temp) / "words"
            # Multilingual BERT's own width: its table is 367 MB.
            random_model(qa, vocabulary, BertForQuestionAnswering, 96)
            random_model(words, vocabulary, BertForMaskedLM, 768)
            run = pipeline("question-answering", model=str(qa), tokenizer=AutoTokenizer.from_pretrained(qa), device="cpu")
            answers = compare(
                run(question=question, context=context, top_k=3),
                cloze(program, qa, "answer", "--json", "-q", question, "-c", context, "--top-k", "3"),
                [("answer", "answer"), ("start", "start"), ("end", "end")],
            )
            run = pipeline("fill-mask", model=str(words), tokenizer=AutoTokenizer.from_pretrained(words), device="cpu")
            text = f"{context[:20]} [MASK] {question}"
            masks = compare(
                run(text, top_k=4),
                cloze(program, words, "fill-mask", text, "--top-k", "4"),
                [("token", "token_id"), ("token_str", "token"), ("sequence", "sequence")],
            )
        for task, (same, error) in (("answer", answers), ("fill-mask", masks)):
            good = same and error <= SCORE_ERROR
            record.add("vocabulary", good, vocabulary=name, task=task, same_rows=same, largest_score_error=error)
    sys.exit(record.status())


if __name__ == "__main__":
    main()
