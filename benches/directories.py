#!/usr/bin/env python3
"""Whether directories of real models give the vectors that Python makes with them. README.md explains.

    python benches/directories.py DIR... [--texts FILE] [--device DEVICE]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.utils import logging

from harness import ROOT, Record, build

NEAR = 1e-4
TEXTS = [
    "How many people live in London?",
    "About nine million people live in the capital of the United Kingdom.",
    "A caf\u00e9 in \u6771\u4eac, \u00fcber 3.14% cheaper; na\u00efve?!",
    "",
    "the same sentence again and again " * 100,
]


def oracle(directory, texts):
    """Vectors of length 1: sentence-transformers', which takes the mean of the tokens where there is no modules.json."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(directory), device="cpu")
    return model.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def ours(cloze, directory, texts, device):
    with tempfile.TemporaryDirectory() as place:
        lines, out = Path(place, "in.jsonl"), Path(place, "out.npy")
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        command = [cloze, "embed", "--input", lines, "--output", out, "--format", "npy", "--model", directory]
        subprocess.run([*map(str, command), "--device", device, "--quiet"], check=True)
        return np.load(out)


MASKED = ["The capital of France is [MASK].", "She [MASK] a book about the [MASK] of science."]


def masks(cloze, directory, device):
    """How far the scores of the five best words at each mask are from transformers', where the model predicts words."""
    config = json.loads((directory / "config.json").read_text())
    if config["architectures"][0] not in ("BertForMaskedLM", "BertForPreTraining"):
        return {}
    fill, off = transformers.pipeline("fill-mask", model=str(directory), device="cpu"), 0.0
    for text in MASKED:
        found = fill(text)
        expected = [row for rows in (found if isinstance(found[0], list) else [found]) for row in rows]
        command = [cloze, "fill-mask", text, "--model", str(directory), "--device", device, "--quiet"]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        for row, line in zip(expected, map(json.loads, lines), strict=True):
            off = max(off, abs(row["score"] - line["score"]) if row["token"] == line["token_id"] else 1.0)
    return {"masks_off": off}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--texts", type=Path, help="a file with a text a line, beside the ones that are always taken")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(2)
    texts = TEXTS + (args.texts.read_text().splitlines() if args.texts else [])
    cloze = build()["cloze"]
    record = Record(ROOT / "benches" / "records" / "directories.jsonl")
    for directory in args.directories:
        expected = oracle(directory, texts)
        found = ours(cloze, directory, texts, args.device)
        same = found.shape == expected.shape
        off = float(np.abs(found - expected).max()) if same else float("inf")
        size = sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()) / 1e6
        others = masks(cloze, directory, args.device)
        figures = {"texts": len(texts), "numbers": int(found.shape[1]), "off": off, **others}
        met = max([off, *others.values()]) <= NEAR
        record.add(directory.absolute().name, met, **figures, megabytes=round(size, 1), device=args.device)
    sys.exit(record.status())


if __name__ == "__main__":
    main()
