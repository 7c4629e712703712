#!/usr/bin/env python3
"""Random texts through a tokenizer of ours and of transformers: the same ids and offsets, and no panic.

    python benches/tokenizer_fuzz.py --model DIR [--count 1000000] [--seed 0] [--piece 0]

Texts are of every script, control characters, unassigned code points, marks, added tokens and pieces of the vocabulary, mixed.
Every code point is tried first, alone, between letters and after a space. README.md beside this file explains.
"""

import argparse
import json
import random
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

from transformers import AutoTokenizer, logging

from harness import ROOT, Record

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
from tricky_strings import STRINGS  # noqa: E402

BATCH = 2000
POINTS = [*range(0xD800), *range(0xE000, 0x110000)]
# Each character that has a name or a use, and a share of those that have none.
ASSIGNED = [c for c in POINTS if unicodedata.category(chr(c)) not in ("Cn", "Co")]
MARKS = [c for c in ASSIGNED if unicodedata.category(chr(c)).startswith("M")]
CONTROLS = [c for c in ASSIGNED if unicodedata.category(chr(c)) in ("Cc", "Cf", "Zl", "Zp")]
SPACES = [" ", " ", " ", " ", "  ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2009", "\u200b", "\u2581", "\ufeff", "\u2028"]


def script(rng):
    """Some characters that lie side by side, as those of a script do."""
    start = ASSIGNED[rng.randrange(len(ASSIGNED))]
    block = [c for c in range(start & ~0x7F, (start & ~0x7F) + 0x100) if c < 0x110000 and not 0xD800 <= c < 0xE000]
    return [chr(rng.choice(block)) for _ in range(40)]


def texts(rng, vocabulary, added):
    blocks = [script(rng) for _ in range(400)]
    while True:
        parts = []
        for _ in range(rng.choice((1, 2, 3, 5, 8, 20))):
            kind = rng.random()
            if kind < 0.3:
                block = rng.choice(blocks)
                parts.append("".join(rng.choice(block) for _ in range(rng.randint(1, 8))))
            elif kind < 0.5:
                parts.append(vocabulary[rng.randrange(len(vocabulary))].replace("\u2581", " ").removeprefix("##"))
            elif kind < 0.6:
                parts.append("".join(chr(rng.randrange(32, 127)) for _ in range(rng.randint(1, 6))))
            elif kind < 0.68:
                parts.append(chr(rng.choice(MARKS)) * rng.choice((1, 1, 2)))
            elif kind < 0.74:
                parts.append(chr(rng.choice(CONTROLS)))
            elif kind < 0.79:
                parts.append(rng.choice(added))
            elif kind < 0.84:
                parts.append("".join(chr(POINTS[rng.randrange(len(POINTS))]) for _ in range(rng.randint(1, 3))))
            elif kind < 0.88:
                text = rng.choice(STRINGS)
                at = rng.randrange(len(text) + 1)
                parts.append(text[at:at + rng.randint(1, 12)])
            else:
                parts.append(rng.choice(SPACES))
            if rng.random() < 0.35:
                parts.append(rng.choice(SPACES))
        yield "".join(parts)


def points():
    for c in map(chr, POINTS):
        yield c
        yield f"a{c}b"
        yield f"x {c}\u0301"


def batches(source, count):
    batch = []
    for _, text in zip(range(count), source):
        batch.append(text)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class Ours:
    def __init__(self, program, model, piece):
        program = program or self.build()
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, model, str(piece)], stdin=pipe, stdout=pipe, text=True, encoding="utf-8")
        self.reply()

    @staticmethod
    def build():
        command = ["cargo", "build", "--release", "--bench", "tokens", "--message-format", "json-render-diagnostics"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        messages = map(json.loads, done.stdout.splitlines())
        (program,) = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "tokens"]
        return program

    def send(self, batch):
        print(json.dumps(batch), file=self.process.stdin, flush=True)

    def reply(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the tokenizer ended with status {self.process.wait()}")
        return json.loads(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--piece", type=int, default=0)
    parser.add_argument("--no-points", action="store_true", help="random texts alone")
    parser.add_argument("--program", type=Path, help="the driver, built already")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    args = parser.parse_args()
    logging.set_verbosity_error()
    theirs = AutoTokenizer.from_pretrained(args.model)
    backend = theirs.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    vocabulary = list(backend.get_vocab(with_added_tokens=False))
    vocabulary.sort()
    kind = json.loads(backend.to_str())["model"]["type"]
    added = [str(token) for token in theirs.added_tokens_decoder.values()]
    ours, begun = Ours(args.program, args.model, args.piece), time.monotonic()
    wrong, done = 0, {"points": 0, "texts": 0}
    sources = {"points": (points(), 3 * len(POINTS)), "texts": (texts(random.Random(args.seed), vocabulary, added), args.count)}
    if args.no_points:
        del sources["points"]
    for what, (source, count) in sources.items():
        for batch in batches(source, count):
            ours.send(batch)
            encodings = backend.encode_batch(batch, add_special_tokens=False)
            for text, encoding, (ids, places) in zip(batch, encodings, ours.reply(), strict=True):
                expected = [at for pair in encoding.offsets for at in pair]
                if (ids, places) != (encoding.ids, expected):
                    wrong += 1
                    if wrong <= 20:
                        print(f"{text!r}\n  ours   {ids} {places}\n  theirs {encoding.ids} {expected}")
            done[what] += len(batch)
            if time.monotonic() - begun > args.seconds:
                break
    record = Record(ROOT / "benches" / "records" / "tokenizer_fuzz.jsonl")
    figures = {"seed": args.seed, "piece": args.piece, "code_points": done["points"] // 3, "texts": done["texts"], "different": wrong}
    record.add("tokenizer", wrong == 0, model=kind, vocabulary=len(vocabulary), **figures)
    sys.exit(record.status())


if __name__ == "__main__":
    main()
