"""The answers of transformers' own question-answering pipeline, to compare ours with.

    python tests/oracle/pipeline.py --model DIR --data dev.json --n 500 --out answers.jsonl

Takes `n` questions evenly spaced over a SQuAD 1.1 file (question `i * total // n`), with the pipeline's defaults, and
writes one JSON object a line: {"id", "index", "answer", "score", "start", "end"}; `index` counts questions in file
order, offsets are code points. F32 arithmetic whatever the weights are stored as. Needs the packages of encoder.py.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoTokenizer, pipeline

from checkpoint import load
from squad import evenly, questions


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--model", type=Path, required=True)
    args.add_argument("--data", type=Path, required=True)
    args.add_argument("--n", type=int, default=500)
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--threads", type=int, default=2)
    args = args.parse_args()

    torch.set_num_threads(args.threads)
    model = load(args.model)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    answer = pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")

    with args.out.open("w", encoding="utf-8") as out:
        for index, q in evenly(questions(args.data), args.n):
            best = answer(question=q["question"], context=q["context"])
            line = {"id": q["id"], "index": index, **{k: best[k] for k in ("answer", "score", "start", "end")}}
            print(json.dumps(line, ensure_ascii=False), file=out, flush=True)


if __name__ == "__main__":
    main()
