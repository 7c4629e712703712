"""QA logits of a real model on real passages, by transformers in F32.

    python tests/oracle/passages.py --model DIR --data dev.json --out passages.safetensors

Takes `n` question and passage pairs evenly spaced over a SQuAD 1.1 file, each whole in one window. Writes, packed as in
encoder.py, `ids`, `types`, `positions` I32 [T], `offsets` I32 [B+1], `chars` I32 [T, 2] (each token's code points
within its own text, 0 0 for special tokens) and `logits` F32 [T, 2] (start|end); and the texts as a JSON list of
{"id", "question", "context"} beside it (passages.json). DIR is any model that checkpoint.py opens, 8-bit ones too.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from checkpoint import load
from squad import evenly, questions


@torch.no_grad()
def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--model", type=Path, required=True)
    args.add_argument("--data", type=Path, required=True)
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--n", type=int, default=20)
    args = args.parse_args()

    model = load(args.model)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    window = model.config.max_position_embeddings
    pairs = [q for _, q in evenly(questions(args.data), args.n)]

    parts = {name: [] for name in ("ids", "types", "positions", "chars", "logits")}
    lengths = []
    for q in pairs:
        # No padding, no truncation, whatever tokenizer.json says.
        options = dict(padding=False, truncation=False, return_offsets_mapping=True, return_tensors="pt")
        tokens = tokenizer(q["question"], q["context"], **options)
        ids, types = tokens["input_ids"], tokens["token_type_ids"]
        assert ids.shape[1] <= window, f"{q['id']} has {ids.shape[1]} tokens, more than a window of {window}"
        out = model(input_ids=ids, token_type_ids=types)
        lengths.append(ids.shape[1])
        parts["ids"].append(ids[0].int())
        parts["types"].append(types[0].int())
        parts["positions"].append(torch.arange(ids.shape[1], dtype=torch.int32))
        parts["chars"].append(tokens["offset_mapping"][0].int())
        parts["logits"].append(torch.stack([out.start_logits[0], out.end_logits[0]], -1))

    tensors = {name: torch.cat(ts) for name, ts in parts.items()}
    tensors["offsets"] = torch.tensor([0, *lengths]).cumsum(0).int()
    save_file(tensors, args.out)
    args.out.with_suffix(".json").write_text(json.dumps(pairs, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{len(pairs)} pairs, {sum(lengths)} tokens, the longest {max(lengths)}: {args.out}")


if __name__ == "__main__":
    main()
