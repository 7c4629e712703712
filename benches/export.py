#!/usr/bin/env python3
"""Writes a question answering model in F32 twice, for us and for ONNX Runtime, so that both multiply the same numbers.

    python benches/export.py --model DIR --out MODELS/minilm-l6

OUT gets config.json, model.safetensors, the tokenizer's files and onnx/model.onnx (inputs input_ids, attention_mask,
token_type_ids I64 [B, S]; outputs start_logits, end_logits F32 [B, S]).
"""

import argparse
import shutil
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "oracle"))
from checkpoint import load

INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
OUTPUTS = ["start_logits", "end_logits"]


class Logits(torch.nn.Module):
    """The model with its arguments in ONNX's order and tensors alone as results."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        out = self.model(**dict(zip(INPUTS, inputs)))
        return out.start_logits, out.end_logits


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--model", type=Path, required=True)
    args.add_argument("--out", type=Path, required=True)
    args = args.parse_args()

    model = load(args.model)
    onnx = args.out / "onnx" / "model.onnx"
    onnx.parent.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(args.out)
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        if (args.model / name).exists():
            shutil.copyfile(args.model / name, args.out / name)

    example = (torch.ones(1, 128, dtype=torch.long),) * len(INPUTS)
    axes = {name: {0: "batch", 1: "sequence"} for name in INPUTS + OUTPUTS}
    options = dict(input_names=INPUTS, output_names=OUTPUTS, dynamic_axes=axes, opset_version=17, dynamo=False)
    torch.onnx.export(Logits(model), example, str(onnx), **options)
    print(f"{sum(p.numel() for p in model.parameters())} parameters: {args.out}")


if __name__ == "__main__":
    main()
