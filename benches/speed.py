#!/usr/bin/env python3
"""How fast we are: beside ONNX Runtime, beside our own best matmul, and as a whole process. README.md explains.

    python benches/speed.py --models MODELS [--only encoder,lavapipe,process]

MODELS holds what export.py writes, by name.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import ROOT, Driver, Record, build

SHAPES = ((1, 32), (1, 128), (1, 384), (8, 128))  # sequences, tokens of each
SLOWER = 1.0
I8_SLOWER = 1.05
LOGIT_ERROR = 1e-3
OF_MATMUL = 0.6
CPU_SECONDS, GPU_SECONDS, CPU_MEGABYTES = 0.5, 3.0, 120

QUESTION = "Where do sea otters live?"
PASSAGE = (  # 100 words
    "Sea otters live along the coasts of the northern Pacific, where water seldom grows warm. They have no "
    "blubber, so they depend on the thickest fur of any animal, which traps a layer of air next to the skin. An adult "
    "eats about a quarter of its weight each day, mostly urchins, clams and crabs, and uses a stone to break "
    "their shells. Sea otters sleep on their backs at the surface. Before they rest they roll in long strands of kelp "
    "until the plants hold them in place, and in this way neither wind nor current carries them off."
)


def encoder(args, programs, record):
    """Our forward pass and ONNX Runtime's by turns, in f32; ours in i8 as well."""
    import numpy as np
    import onnxruntime

    def peer(threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        path = str(model / "onnx" / "model.onnx")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def timed(session, feed):
        begun = time.perf_counter()
        start, end = session.run(["start_logits", "end_logits"], feed)
        return (time.perf_counter() - begun) * 1e3, np.stack([start, end], -1).ravel()

    model = args.models / args.name
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch) / "i8"
        convert = [programs["cloze"], "convert", "--model", str(model), "--dtype", "i8", "--output", str(small)]
        subprocess.run([*convert, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        for threads in args.threads:
            session = peer(threads)
            with (
                Driver(programs["driver"], model, "cpu", threads) as full,
                Driver(programs["driver"], small, "cpu", threads) as quarter,
            ):
                ours = {"f32": full, "i8": quarter}
                for batch, length in args.shapes:
                    ids = [[1000 + (b * length + i) * 7919 % 20000 for i in range(length)] for b in range(batch)]
                    types = [[0] * length] * batch
                    ones = np.ones((batch, length), np.int64)
                    feed = dict(input_ids=np.array(ids), attention_mask=ones, token_type_ids=0 * ones)
                    times = {name: [] for name in (*ours, "ort")}
                    for _ in range(args.rounds):
                        logits = {}
                        for name, driver in ours.items():
                            # A pause, and a first run that does not count: the other's threads may still be spinning.
                            time.sleep(0.02)
                            done = driver.forward(ids, types, args.runs + 1)
                            times[name] += done["ms"][1:]
                            logits[name] = np.array(done["logits"])
                        time.sleep(0.02)
                        runs = [timed(session, feed) for _ in range(args.runs + 1)]
                        times["ort"] += [ms for ms, _ in runs[1:]]
                        logits["ort"] = runs[-1][1]
                    median = {name: statistics.median(ms) for name, ms in times.items()}
                    for name in ours:
                        ratio = median[name] / median["ort"]
                        of_f32 = median[name] / median["f32"]
                        error = float(abs(logits[name] - logits["ort"]).max())
                        figures = dict(model=args.name, dtype=name, shape=f"{batch}x{length}", threads=threads)
                        figures |= dict(median_ms=round(median[name], 2), ort_median_ms=round(median["ort"], 2))
                        figures |= dict(min_ms=round(min(times[name]), 2), ort_min_ms=round(min(times["ort"]), 2))
                        figures |= dict(ratio=round(ratio, 3), largest_logit_error=float(f"{error:.3g}"))
                        if name == "f32":
                            met = ratio <= SLOWER and error <= LOGIT_ERROR
                        else:
                            # 8-bit weights are other numbers: their logits are not ONNX Runtime's.
                            figures["of_f32"] = round(of_f32, 3)
                            met = of_f32 <= I8_SLOWER
                        record.add("encoder", met, **figures)


def lavapipe(args, programs, record):
    """The encoder's share of the rate of the best matmul alone."""
    command = [programs["cloze"], "bench", "--model", str(args.models / args.name), "--device", "gpu", "--json"]
    command += ["--quiet", "--seq", "384", "--batch", "1", "--runs", str(args.runs)]
    done = subprocess.run(command, env=software(args), stdout=subprocess.PIPE, text=True, check=True)
    line = json.loads(done.stdout)
    assert "llvmpipe" in line["adapter"], f"this is not lavapipe but {line['adapter']}"
    share = line["gflops"] / line["gemm_gflops"]
    figures = {k: round(line[k], 2) for k in ("median_ms", "min_ms", "first_ms", "load_ms", "gflops", "gemm_gflops")}
    figures = dict(model=args.name, adapter=line["adapter"], shape="1x384", **figures, share=round(share, 3))
    record.add("lavapipe", share >= OF_MATMUL, **figures)


def process(args, programs, record):
    """`cloze answer` on the default model and 100 words, from start to exit."""
    cores = dict(device="cpu", env=None, seconds=CPU_SECONDS, megabytes=CPU_MEGABYTES, turns=9)
    gpu = dict(device="gpu", env=software(args), seconds=GPU_SECONDS, megabytes=None, turns=5)
    for way in (cores, gpu):
        command = [programs["cloze"], "answer", "--device", way["device"], "--quiet", "-q", QUESTION, "-c", PASSAGE]
        command = [sys.executable, "-I", "-S", str(ROOT / "benches" / "process.py"), *command]
        done = []
        for _ in range(way["turns"]):
            run = subprocess.run(command, env=way["env"], stdout=subprocess.PIPE, text=True, check=True)
            done.append(json.loads(run.stdout))
        assert all("Pacific" in d["stdout"] for d in done), f"a wrong answer: {done[0]['stdout']}"
        seconds = statistics.median(d["seconds"] for d in done)
        megabytes = max(d["megabytes"] for d in done)
        met = seconds < way["seconds"] and (way["megabytes"] is None or megabytes < way["megabytes"])
        figures = dict(device="lavapipe" if way["env"] else "cpu", runs=len(done))
        figures |= dict(median_s=round(seconds, 3), slowest_s=round(max(d["seconds"] for d in done), 3))
        record.add("process", met, **figures, peak_mb=round(megabytes, 1))


def software(args):
    """The environment in which lavapipe is the only adapter."""
    return {**os.environ, "VK_ICD_FILENAMES": str(args.icd), "NODEVICE_SELECT": "1"}


def lavapipe_icd():
    """Where Debian puts lavapipe's manifest, under its older name or its newer one."""
    found = sorted(Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json"))
    return found[0] if found else Path("lvp_icd.json")


STEPS = {"encoder": encoder, "lavapipe": lavapipe, "process": process}


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--models", type=Path, required=True, help="the directory that export.py's OUT is in")
    args.add_argument("--name", default="minilm-l6", help="which of the models")
    args.add_argument("--only", default=",".join(STEPS), help="which of the steps to take")
    args.add_argument("--threads", type=lambda s: [int(t) for t in s.split(",")], default=[1, 2])
    shapes = lambda s: [tuple(map(int, shape.split("x"))) for shape in s.split(",")]
    args.add_argument("--shapes", type=shapes, default=SHAPES, help="batch x sequence length, e.g. 1x32,8x128")
    args.add_argument("--rounds", type=int, default=12, help="turns of each implementation")
    args.add_argument("--runs", type=int, default=7, help="timed runs in a turn")
    args.add_argument("--icd", type=Path, default=lavapipe_icd(), help="lavapipe's Vulkan manifest")
    args.add_argument("--record", type=Path, default=ROOT / "benches" / "records" / "speed.jsonl")
    args = args.parse_args()
    steps = [STEPS[name] for name in args.only.split(",")]

    programs = build()
    record = Record(args.record)
    if record.common["load"] > 0.5:
        print(f"the machine is busy (load {record.common['load']}): times will be too long", file=sys.stderr)
    for step in steps:
        step(args, programs, record)
    return record.status()


if __name__ == "__main__":
    sys.exit(main())
