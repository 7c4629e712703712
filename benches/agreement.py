#!/usr/bin/env python3
"""How far our answers are from PyTorch's, and what 8 bits cost. README.md beside this file explains.

    python benches/agreement.py --model DIR --data dev.json [--only passages,answers,f1] [--device cpu --device gpu:0]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import ROOT, Driver, Record, build

ORACLE = ROOT / "tests" / "oracle"
LOGIT_ERROR = 1e-3
EQUAL_ANSWERS = 99.5
F1_LOSS = 0.3


def oracle(script, args, out, n):
    """Has the reference write `out`, unless it is there from before; the record then says so."""
    if out.exists():
        return out, {"oracle": "kept"}
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ORACLE / script), "--model", str(args.model), "--data", str(args.data)]
    subprocess.run([*command, "--n", str(n), "--out", str(out)], check=True)
    return out, {}


def passages(args, programs, record):
    """Logits of real passages against PyTorch in F32 on the same weights."""
    from safetensors.numpy import load_file

    path, kept = oracle("passages.py", args, args.oracle / "passages.safetensors", 20)
    want = load_file(path)
    bounds = want["offsets"].tolist()
    spans = list(zip(bounds, bounds[1:]))
    for device in args.device:
        worst = 0.0
        with Driver(programs["driver"], args.model, device) as ours:
            for first, end in spans:
                ids, types = want["ids"][first:end].tolist(), want["types"][first:end].tolist()
                got = ours.forward([ids], [types])["logits"]
                expected = want["logits"][first:end].ravel()
                assert len(got) == len(expected), f"{len(got)} logits for {len(ids)} tokens"
                # A NaN comes as null, which cannot be subtracted.
                worst = max(worst, float(abs(expected - got).max()))
            figures = dict(model=args.model.name, device=ours.ready["name"], passages=len(spans), tokens=bounds[-1])
        figures |= kept
        record.add("passages", worst <= LOGIT_ERROR, **figures, largest_logit_error=float(f"{worst:.3g}"))


def answers(args, programs, record):
    """Answers of ours that equal those of transformers' question answering pipeline."""
    sys.path.insert(0, str(ORACLE))
    from squad import questions

    path, kept = oracle("pipeline.py", args, args.oracle / "pipeline.jsonl", args.n)
    want = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    asked = questions(args.data)
    for device in args.device:
        spans = texts = 0
        furthest = 0.0
        with Driver(programs["driver"], args.model, device) as ours:
            for expected in want:
                question = asked[expected["index"]]
                assert question["id"] == expected["id"], f"{path} was written for other data"
                got = ours.answer(question["question"], question["context"])
                same = all(got[k] == expected[k] for k in ("answer", "start", "end"))
                spans += same
                texts += got["answer"] == expected["answer"]
                if same:
                    furthest = max(furthest, abs(got["score"] - expected["score"]))
                else:
                    print(f"  {expected['id']}: {expected} but {got}", file=sys.stderr)
            figures = dict(model=args.model.name, device=ours.ready["name"], questions=len(want))
        percent = 100 * spans / len(want)
        figures |= dict(equal_percent=round(percent, 2), equal_text=texts, largest_score_error=float(f"{furthest:.3g}"))
        record.add("answers", percent >= EQUAL_ANSWERS, **figures, **kept)


def f1(args, programs, record):
    """Exact match and F1 of the model and of its 8-bit form on the whole file."""
    figures = dict(model=args.model.name, i8=args.i8.name, device=args.device[0])
    if args.evaluated:
        lines = args.evaluated.read_text(encoding="utf-8").splitlines()
        results = [json.loads(line) for line in lines if line.startswith("{")]
        figures["evaluated"] = "earlier"
    else:
        command = [programs["cloze"], "eval", "squad", "--data", str(args.data), "--device", args.device[0], "--json"]
        results = []
        for model in (args.model, args.i8):
            done = subprocess.run([*command, "--model", str(model)], stdout=subprocess.PIPE, text=True, check=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
    full, small = results
    assert full["total"] == small["total"], "the two evaluations are of different data"
    loss = full["f1"] - small["f1"]
    figures |= dict(questions=full["total"], exact_match=round(full["exact_match"], 3), f1=round(full["f1"], 3))
    figures |= dict(i8_exact_match=round(small["exact_match"], 3), i8_f1=round(small["f1"], 3), f1_loss=round(loss, 3))
    record.add("f1", loss <= F1_LOSS, **figures)


STEPS = {"passages": passages, "answers": answers, "f1": f1}


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--model", type=Path, required=True, help="a question answering model, not in 8 bits")
    args.add_argument("--data", type=Path, required=True, help="a SQuAD 1.1 file")
    args.add_argument("--i8", type=Path, default=ROOT / "models" / "minilm-l6-qa", help="the same in 8 bits")
    args.add_argument("--device", action="append", help="as cloze takes it, any number of times [cpu]")
    args.add_argument("--only", default=",".join(STEPS), help="which of the steps to take")
    args.add_argument("--n", type=int, default=500, help="questions of the step answers")
    args.add_argument("--oracle", type=Path, help="keep the reference's files here, and use them if they are there")
    args.add_argument("--evaluated", type=Path, help="lines that `cloze eval squad --json` wrote, instead of running it")
    args.add_argument("--record", type=Path, default=ROOT / "benches" / "records" / "agreement.jsonl")
    args = args.parse_args()
    args.device = args.device or ["cpu"]
    args.model = args.model.resolve()
    steps = [STEPS[name] for name in args.only.split(",")]

    programs = build()
    record = Record(args.record)
    with tempfile.TemporaryDirectory() as scratch:
        args.oracle = args.oracle or Path(scratch)
        for step in steps:
            step(args, programs, record)
    return record.status()


if __name__ == "__main__":
    sys.exit(main())
