#!/usr/bin/env python3
"""How fast fine-tuning is, and what memory it takes: beside PyTorch, and beside our own best matmul. README.md explains.

    python benches/train_speed.py --model minilm-l6-qa [--only full,lavapipe]
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from harness import ROOT, Record, Trainer, build
from speed import lavapipe_icd, software

OF_TORCH, OF_TORCH_MEMORY, OF_MATMUL, OF_FULL = 0.8, 1.2, 0.45, 1.2
LOSS_ERROR = 1e-3
OPTIONS = dict(freeze_embeddings=True, dropout=False, decay=0.01, max_norm=1.0)
RATE = 1e-5


def request(batch, length):
    """A batch of full sequences: ids, types and labels."""
    ids = [[1000 + (b * length + i) * 7919 % 20000 for i in range(length)] for b in range(batch)]
    spans = [[b % length, (3 * b + 5) % length] for b in range(batch)]
    return ids, [[0] * length] * batch, {"spans": spans}


def full(args, program, record):
    """Steps of ours and of PyTorch's by turns, everything but the embeddings trained, on the CPU."""
    batch, length = args.shape
    peer = [sys.executable, str(ROOT / "benches" / "train_peer.py")]
    with (
        Trainer(program, args.model, "cpu", args.threads, **OPTIONS) as ours,
        Trainer(peer, args.model, "cpu", args.threads, **OPTIONS) as theirs,
    ):
        sides = {"ours": ours, "torch": theirs}
        times, losses = {name: [] for name in sides}, {name: [] for name in sides}
        for _ in range(args.rounds):
            for name, side in sides.items():
                # A pause, and a first step that does not count: the other's threads may still be spinning.
                time.sleep(0.2)
                done = [side.step(*request(batch, length), RATE) for _ in range(args.runs + 1)]
                times[name] += [step["ms"] for step in done[1:]]
                losses[name] += [step["loss"] for step in done]
        peak, torch_peak = ours.peak_mb(), theirs.peak_mb()
        version = theirs.ready["name"]
    median = {name: statistics.median(ms) for name, ms in times.items()}
    rate = {name: batch * length / ms * 1e3 for name, ms in median.items()}
    ratio, of_peak = rate["ours"] / rate["torch"], peak / torch_peak
    error = max(abs(a - b) for a, b in zip(losses["ours"], losses["torch"]))
    figures = dict(model=args.model.name, peer=version, shape=f"{batch}x{length}", threads=args.threads)
    figures |= dict(tokens_per_s=round(rate["ours"]), torch_tokens_per_s=round(rate["torch"]), ratio=round(ratio, 3))
    figures |= dict(median_ms=round(median["ours"], 1), torch_median_ms=round(median["torch"], 1))
    figures |= dict(min_ms=round(min(times["ours"]), 1), torch_min_ms=round(min(times["torch"]), 1))
    figures |= dict(peak_mb=round(peak, 1), torch_peak_mb=round(torch_peak, 1), of_torch_peak=round(of_peak, 3))
    figures |= dict(largest_loss_error=float(f"{error:.3g}"))
    record.add("train", ratio >= OF_TORCH and of_peak <= OF_TORCH_MEMORY and error <= LOSS_ERROR, **figures)


def lora(args, program, record):
    """Steps of adapters and of everything but the embeddings by turns, on the CPU."""
    batch, length = args.shape
    with (
        Trainer(program, args.model, "cpu", args.threads, **OPTIONS) as full,
        Trainer(program, args.model, "cpu", args.threads, lora=True, **OPTIONS) as adapters,
    ):
        sides = {"full": full, "lora": adapters}
        times = {name: [] for name in sides}
        for _ in range(args.rounds):
            for name, side in sides.items():
                time.sleep(0.2)
                done = [side.step(*request(batch, length), RATE) for _ in range(args.runs + 1)]
                times[name] += [step["ms"] for step in done[1:]]
        peaks = {name: round(side.peak_mb(), 1) for name, side in sides.items()}
    median = {name: statistics.median(ms) for name, ms in times.items()}
    rate = {name: batch * length / ms * 1e3 for name, ms in median.items()}
    ratio = rate["lora"] / rate["full"]
    figures = dict(model=args.model.name, shape=f"{batch}x{length}", threads=args.threads)
    figures |= dict(tokens_per_s=round(rate["lora"]), full_tokens_per_s=round(rate["full"]), ratio=round(ratio, 3))
    figures |= dict(median_ms=round(median["lora"], 1), full_median_ms=round(median["full"], 1))
    figures |= dict(min_ms=round(min(times["lora"]), 1), full_min_ms=round(min(times["full"]), 1))
    record.add("train-lora", ratio >= OF_FULL, **figures, peak_mb=peaks["lora"], full_peak_mb=peaks["full"])


def lavapipe(args, program, record):
    """A step's share of the rate of the best matmul alone, on Mesa's software GPU."""
    batch, length = args.shape
    with Trainer(program, args.model, "gpu", 0, software(args), **OPTIONS) as ours:
        adapter = ours.ready["name"]
        assert "llvmpipe" in adapter, f"this is not lavapipe but {adapter}"
        first = ours.step(*request(batch, length), RATE)["ms"]
        shares, times, gemms = [], [], []
        for _ in range(args.gpu_steps):
            # A matmul before and after: the machine may change while a step runs.
            before = ours.gemm_gflops()
            times.append(ours.step(*request(batch, length), RATE)["ms"])
            gemms.append((before + ours.gemm_gflops()) / 2)
            shares.append(flops(args.model, batch, length) / times[-1] / 1e6 / gemms[-1])
    median = statistics.median(times)
    share = statistics.median(shares)
    gflops = flops(args.model, batch, length) / median / 1e6
    figures = dict(model=args.model.name, adapter=adapter, shape=f"{batch}x{length}", median_ms=round(median))
    figures |= dict(first_ms=round(first), gflops=round(gflops, 2), gemm_gflops=round(statistics.median(gemms), 2))
    record.add("train-lavapipe", share >= OF_MATMUL, **figures, share=round(share, 3))


def flops(model, batch, length):
    """A step's floating point operations in matmuls, attention's among them: forward once, back twice. What a kernel
    computes again, element by element or over parameters does not count."""
    config = json.loads((model / "config.json").read_text())
    hidden, layers, inner = (config[k] for k in ("hidden_size", "num_hidden_layers", "intermediate_size"))
    linear = 4 * hidden * hidden + 2 * hidden * inner
    attention = 2 * length * hidden
    # The first layer's input, the frozen embeddings, needs no gradient.
    return 2 * batch * length * (3 * layers * (linear + attention) - 3 * hidden * hidden)


STEPS = {"full": full, "lora": lora, "lavapipe": lavapipe}


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--model", type=Path, required=True, help="a model for question answering, in f32")
    args.add_argument("--only", default=",".join(STEPS), help="which of the steps to take")
    args.add_argument("--threads", type=int, default=2)
    shape = lambda s: tuple(map(int, s.split("x")))
    args.add_argument("--shape", type=shape, default=(16, 168), help="batch x sequence length")
    args.add_argument("--rounds", type=int, default=5, help="turns of each implementation")
    args.add_argument("--runs", type=int, default=3, help="timed steps in a turn")
    args.add_argument("--gpu-steps", type=int, default=3, help="timed steps on lavapipe")
    args.add_argument("--icd", type=Path, default=lavapipe_icd(), help="lavapipe's Vulkan manifest")
    args.add_argument("--record", type=Path, default=ROOT / "benches" / "records" / "train_speed.jsonl")
    args = args.parse_args()
    steps = [STEPS[name] for name in args.only.split(",")]

    program, record = build()["trainer"], Record(args.record)
    if record.common["load"] > 0.5:
        print(f"the machine is busy (load {record.common['load']}): times will be too long", file=sys.stderr)
    for step in steps:
        step(args, program, record)
    return record.status()


if __name__ == "__main__":
    sys.exit(main())
