"""What the measuring commands share: building, talking to the driver, the record."""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build():
    """Builds `cloze`, the driver and the trainer as released; their paths by name."""
    command = ["cargo", "build", "--release", "--bin", "cloze", "--bench", "driver", "--bench", "trainer"]
    command += ["--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    messages = map(json.loads, done.stdout.splitlines())
    return {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}


class Driver:
    """A model of ours in a process of its own, asked one thing at a time."""

    def __init__(self, program, model, device="cpu", threads=0, env=None, options=()):
        command = [*(program if isinstance(program, list) else [program]), str(model), device, str(threads), *options]
        pipe = subprocess.PIPE
        environment = {**os.environ, **(env or {})}
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8", env=environment)
        self.ready = self._reply()

    def _reply(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the driver ended with status {self.process.wait()}")
        return json.loads(line)

    def _ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._reply()

    def forward(self, ids, types, runs=1):
        """Sequences as one batch: {"ms": of each run, "logits": flat [T, 2]}."""
        return self._ask(op="forward", ids=ids, types=types, runs=runs)

    def answer(self, question, context):
        """{"answer", "score", "start", "end", "ms"} with the pipeline's defaults."""
        return self._ask(op="answer", question=question, context=context)

    def peak_mb(self):
        """The process's largest resident set so far, in 10^6 bytes. Linux."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


class Trainer(Driver):
    """A model of ours in training; options as benches/trainer.rs has them."""

    def __init__(self, program, model, device="cpu", threads=0, env=None, **options):
        super().__init__(program, model, device, threads, env, [json.dumps(options)])

    def step(self, ids, types, labels, rate):
        """One optimizer step: {"ms", "loss"}. Labels are {"classes": [...]}, {"targets": [...]} or {"spans": [...]}."""
        return self._ask(op="step", ids=ids, types=types, labels=labels, rate=rate)

    def logits(self, ids, types):
        """The head's logits as the model is now, flat."""
        return self._ask(op="logits", ids=ids, types=types)["logits"]

    def gemm_gflops(self):
        """The rate of the device's best matmul alone."""
        return self._ask(op="gemm")["gflops"]


def git(*args):
    return subprocess.run(["git", *args], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def commit():
    """The commit measured; with a + if files other than records differ from it."""
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches/records")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def processor():
    """The CPU's name, as its system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


class Record:
    """Prints figures and appends them, a JSON object a line, to a file in benches/records."""

    def __init__(self, path):
        self.path = path
        self.common = {"date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "commit": commit()}
        self.common |= {"cpu": processor(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
        self.missed = 0

    def add(self, what, met, **figures):
        """`met` is whether the figures are what they must be; None where nothing is asked of them."""
        line = {**self.common, "what": what, **figures, **({} if met is None else {"met": bool(met)})}
        self.missed += met is not None and not met
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as out:
            print(json.dumps(line, ensure_ascii=False), file=out)
        shown = "  ".join(f"{name} {value}" for name, value in figures.items())
        print(f"{what}: {shown}{'' if met is None else '  met' if met else '  MISSED'}", flush=True)

    def status(self):
        """The command's exit status."""
        return 1 if self.missed else 0
