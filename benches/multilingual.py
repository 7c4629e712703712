#!/usr/bin/env python3
"""A whole multilingual model with a Unigram tokenizer, against transformers. README.md beside this file explains.

    python benches/multilingual.py --model DIR
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertForQuestionAnswering, BertModel, logging, pipeline

from harness import ROOT, Record, build

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
from unigram import SENTENCES  # noqa: E402

# What the passages of SENTENCES answer, asked in English.
ENGLISH = {
    "ar": "Where is the old library?", "de": "Who ran the brewery?", "el": "When did the museum open?",
    "en": "What did the clerk carry?", "es": "Where was the painter born?", "hi": "Who built the bridge?",
    "ru": "Who built the mill?", "th": "At what time does the market open?", "tr": "Where did the ship go?",
    "vi": "Where is the pagoda?", "zh": "How long is the stone bridge?", "ja": "Where is the station?",
    "ko": "Who kept the lighthouse?", "he": "When was the garden opened?",
}  # fmt: skip
VALUE_ERROR = 1e-4


def cloze(program, model, *args):
    command = [program, *args, "--model", str(model), "--device", "cpu", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def embed(program, model, texts):
    return torch.tensor([row["embedding"] for row in cloze(program, model, "embed", *texts)])


def process(*command):
    """Seconds and megabytes of a command."""
    done = subprocess.run([sys.executable, ROOT / "benches" / "process.py", *map(str, command)], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    return round(found["seconds"], 2), round(found["megabytes"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--program", type=Path, help="the binary, built already")
    args = parser.parse_args()
    logging.set_verbosity_error()
    program = args.program or build()["cloze"]
    record = Record(ROOT / "benches" / "records" / "multilingual.jsonl")
    name = args.model.resolve().name
    tokenizer = AutoTokenizer.from_pretrained(args.model)

    seconds, megabytes = process(program, "tokenize", "The clerk waited.", "--model", args.model)
    record.add("tokenizer", None, model=name, seconds=seconds, megabytes=megabytes, file_mb=round((args.model / "tokenizer.json").stat().st_size / 1e6, 1))

    questions = [f"query: {question}" for question in ENGLISH.values()]
    own = [f"query: {SENTENCES[language][0]}" for language in ENGLISH]
    passages = [f"passage: {SENTENCES[language][1]}" for language in ENGLISH]
    texts = questions + own + passages
    model = BertModel.from_pretrained(args.model).eval()
    vectors = []
    for text in texts:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        vectors.append(torch.nn.functional.normalize(states.mean(0), dim=0))
    expected = torch.stack(vectors)

    def best(vectors, first):
        n = len(ENGLISH)
        return (vectors[first:first + n] @ vectors[2 * n:].T).argmax(1).tolist()

    n = len(ENGLISH)
    with tempfile.TemporaryDirectory() as temp:
        for dtype in ("f32", "f16", "i8"):
            directory = args.model
            if dtype != "f32":
                directory = Path(temp) / dtype
                subprocess.run([program, "convert", "--model", args.model, "--output", directory, "--dtype", dtype, "--quiet"],
                               stdout=subprocess.DEVNULL, check=True)  # fmt: skip
            found = embed(program, directory, texts)
            error = (found - expected).abs().max().item()
            same = [best(found, first) == best(expected, first) for first in (0, n)]
            right = [sum(at == to for at, to in enumerate(best(found, first))) for first in (0, n)]
            met = all(same) and error <= VALUE_ERROR if dtype == "f32" else None
            size = round(sum(f.stat().st_size for f in directory.glob("*.safetensors")) / 1e6)
            record.add("embed", met, model=name, dtype=dtype, weights_mb=size, texts=len(texts), largest_error=error,
                       least_cosine=round((found * expected).sum(1).min().item(), 6), same_passages_found=all(same),
                       english_finds=f"{right[0]} of {n}", own_language_finds=f"{right[1]} of {n}")  # fmt: skip

        torch.manual_seed(0)
        answering = Path(temp) / "qa"
        head = BertForQuestionAnswering.from_pretrained(args.model).eval()
        with torch.no_grad():
            head.qa_outputs.weight.normal_(0, 1.0)
        head.save_pretrained(answering)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (answering / file).write_bytes((args.model / file).read_bytes())
        assert "qa_outputs.weight" in load_file(answering / "model.safetensors")
        run = pipeline("question-answering", model=head, tokenizer=tokenizer, device="cpu")
        same, error = 0, 0.0
        for language in ENGLISH:
            question, context = SENTENCES[language]
            theirs = run(question=question, context=context, top_k=3)
            # A single row comes without its list.
            theirs = [theirs] if isinstance(theirs, dict) else theirs
            ours = cloze(program, answering, "answer", "--json", "-q", question, "-c", context, "--top-k", "3")
            keys = ("answer", "start", "end")
            same += [[row[key] for key in keys] for row in theirs] == [[row[key] for key in keys] for row in ours]
            error = max(error, *(abs(a["score"] - b["score"]) for a, b in zip(theirs, ours)))
        record.add("answer", same == n and error <= VALUE_ERROR, model=name, head="random", questions=n, same_rows=same, largest_score_error=error)
    sys.exit(record.status())


if __name__ == "__main__":
    main()
