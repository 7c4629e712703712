#!/usr/bin/env python3
"""PyTorch's side of train_speed.py, in a process of its own: it is started and asked as benches/trainer.rs is.

    python benches/train_peer.py MODEL cpu THREADS OPTIONS
"""

import json
import sys
import time

import torch
from transformers import AutoModelForQuestionAnswering


def main():
    directory, _, threads, options = sys.argv[1:]
    options = json.loads(options)
    torch.set_num_threads(int(threads))
    model = AutoModelForQuestionAnswering.from_pretrained(directory, dtype=torch.float32)
    model.train(options["dropout"])
    model.bert.embeddings.requires_grad_(not options["freeze_embeddings"])
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    plain = [p for name, p in trained if name.endswith("bias") or "LayerNorm" in name]
    others = [p for name, p in trained if not (name.endswith("bias") or "LayerNorm" in name)]
    groups = [{"params": others, "weight_decay": options["decay"]}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    send(device="cpu", name=f"PyTorch {torch.__version__}")
    for line in sys.stdin:
        request = json.loads(line)
        ids, types = torch.tensor(request["ids"]), torch.tensor(request["types"])
        starts, ends = torch.tensor(request["labels"]["spans"]).unbind(-1)
        begun = time.perf_counter()
        inputs = {"input_ids": ids, "token_type_ids": types, "attention_mask": torch.ones_like(ids)}
        loss = model(**inputs, start_positions=starts, end_positions=ends).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in trained], options["max_norm"])
        for group in optimizer.param_groups:
            group["lr"] = request["rate"]
        optimizer.step()
        optimizer.zero_grad()
        value = loss.item()
        send(ms=(time.perf_counter() - begun) * 1e3, loss=value)


def send(**reply):
    print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
