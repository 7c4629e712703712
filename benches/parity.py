#!/usr/bin/env python3
"""Whether fine-tuning here goes as PyTorch's: same initial weights, same batches, one epoch each. README.md explains.

    python benches/parity.py --model minilm-l6-qa --glue glue --wnut wnut17 [--only sst-2,mrpc,sts-b,wnut-17,seeds]
"""

import argparse
import csv
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as entity_f1
from sklearn.metrics import accuracy_score, f1_score

from harness import Record, Trainer, build

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "oracle"))
from checkpoint import canonical, stored_tensors

LONGEST, WARMUP, DECAY, CLIP = 128, 0.1, 0.01, 1.0
BUCKET = 20  # batches whose examples are sorted by length together
FIRST, LOSS = 200, 1e-2  # so many steps' losses are that near
NONE = -100  # PyTorch's label that counts for nothing


class Task:
    """Examples as (ids, types, label), and what is measured of a model's logits."""

    def __init__(self, tokenizer, near, batch, rate):
        self.tokenizer, self.near, self.batch, self.rate = tokenizer, near, batch, rate

    def encode(self, *texts):
        coded = self.tokenizer(*texts, truncation=True, max_length=LONGEST)
        return coded["input_ids"], coded["token_type_ids"]

    def rows(self, logits, examples):
        """Each example's rows of the flat logits."""
        rows = np.asarray(logits, np.float32).reshape(-1, self.labels)
        return list(rows) if not self.by_token else np.split(rows, np.cumsum([len(e[0]) for e in examples])[:-1])


class Classes(Task):
    kind, labels, by_token = "BertForSequenceClassification", 2, False

    def read(self, path, texts, most=None):
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[:most]
        return [(*self.encode(*(row[text] for text in texts)), self.label(row)) for row in rows]

    def label(self, row):
        return int(row.get("label") or row.get("Quality"))

    def given(self, labels):
        return {"classes": labels}

    def scores(self, logits, gold):
        found = [int(row.argmax()) for row in logits]
        return {"accuracy": accuracy_score(gold, found), "f1": f1_score(gold, found)}


class Similarity(Classes):
    labels = 1

    def label(self, row):
        return float(row["score"])

    def given(self, labels):
        return {"targets": labels}

    def scores(self, logits, gold):
        found = [float(row[0]) for row in logits]
        return {"pearson": pearsonr(found, gold)[0], "spearman": spearmanr(found, gold)[0]}


class Entities(Task):
    kind, by_token = "BertForTokenClassification", True

    def read(self, path, names=None):
        sentences, words = [], []
        for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
            if line.strip():
                word, tag = line.split("\t")[:2]
                words.append((word, tag.strip()))
            elif words:
                sentences.append(words)
                words = []
        self.names = names or sorted({tag for words in sentences for _, tag in words})
        self.labels = len(self.names)
        return [self.tokens(words) for words in sentences]

    def tokens(self, words):
        coded = self.tokenizer([w for w, _ in words], is_split_into_words=True, truncation=True, max_length=LONGEST)
        of = coded.word_ids()
        firsts = [word is not None and (i == 0 or of[i - 1] != word) for i, word in enumerate(of)]
        labels = [self.names.index(words[word][1]) if first else NONE for word, first in zip(of, firsts)]
        return coded["input_ids"], coded["token_type_ids"], labels

    def given(self, labels):
        return {"classes": [-1 if label == NONE else label for labels in labels for label in labels]}

    def scores(self, logits, gold):
        def tags(labels, values):
            return [self.names[value] for label, value in zip(labels, values) if label != NONE]

        found = [tags(labels, rows.argmax(1)) for labels, rows in zip(gold, logits)]
        return {"entity_f1": entity_f1([tags(labels, labels) for labels in gold], found)}


def order(examples, size, seed):
    """Batches, alike in length within."""
    draw = random.Random(seed)
    places = draw.sample(range(len(examples)), len(examples))
    batches = []
    for at in range(0, len(places), size * BUCKET):
        bucket = sorted(places[at : at + size * BUCKET], key=lambda i: len(examples[i][0]))
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    draw.shuffle(batches)
    return [[examples[i] for i in batch] for batch in batches]


def initial(base, task, seed, dropout, out):
    """A model with the base's encoder and a new head, written to `out`."""
    config = transformers.BertConfig.from_pretrained(base)
    config.num_labels = task.labels
    config.torch_dtype = "float32"
    if not dropout:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config.architectures = [task.kind]
    torch.manual_seed(seed)
    model = getattr(transformers, task.kind)(config)
    weights = {k: v for k, v in canonical(stored_tensors(base)).items() if k in model.state_dict()}
    model.load_state_dict(weights, strict=False)
    model.save_pretrained(out)
    return model


def padded(batch):
    longest = max(len(ids) for ids, _, _ in batch)

    def fill(rows, value):
        return torch.tensor([list(row) + [value] * (longest - len(row)) for row in rows])

    ids, types, labels = zip(*batch)
    inputs = {"input_ids": fill(ids, 0), "token_type_ids": fill(types, 0)}
    inputs["attention_mask"] = fill([[1] * len(row) for row in ids], 0)
    return inputs, fill(labels, NONE) if isinstance(labels[0], list) else torch.tensor(labels)


class Peer:
    """The same model in PyTorch."""

    def __init__(self, model, task):
        self.model, self.task = model.train(), task
        plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
        others = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
        groups = [{"params": others, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups)

    def step(self, batch, rate):
        inputs, labels = padded(batch)
        loss = self.model(**inputs, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def logits(self, batch):
        with torch.no_grad():
            logits = self.model(**padded(batch)[0]).logits.numpy()
        if not self.task.by_token:
            return list(logits)
        return [rows[: len(ids)] for rows, (ids, _, _) in zip(logits, batch)]


class Ours:
    def __init__(self, driver, task):
        self.driver, self.task = driver, task

    def step(self, batch, rate):
        ids, types, labels = zip(*batch)
        return self.driver.step(ids, types, self.task.given(labels), rate)["loss"]

    def logits(self, batch):
        ids, types, _ = zip(*batch)
        return self.task.rows(self.driver.logits(ids, types), batch)


def epoch(side, task, batches, dev):
    """(losses, scores, seconds) of one epoch."""
    warm, total = int(WARMUP * len(batches)), len(batches)
    losses, begun = [], time.perf_counter()
    for at, batch in enumerate(batches):
        share = at / warm if at < warm else (total - at) / (total - warm)
        losses.append(side.step(batch, task.rate * share))
    seconds = time.perf_counter() - begun
    if isinstance(side, Peer):
        side.model.eval()
    dev = sorted(dev, key=lambda example: len(example[0]))
    parts = [dev[i : i + 32] for i in range(0, len(dev), 32)]
    logits = [rows for part in parts for rows in side.logits(part)]
    scores = task.scores(logits, [label for _, _, label in dev])
    return losses, {name: 100 * float(score) for name, score in scores.items()}, seconds


def both(args, program, task, data, seed, dropout):
    """An epoch of either on the same batches: (ours, PyTorch's)."""
    train, dev = data
    batches = order(train, task.batch, seed)
    with tempfile.TemporaryDirectory() as scratch:
        model = initial(args.model, task, seed, dropout, scratch)
        options = dict(seed=seed, dropout=dropout, decay=DECAY, max_norm=CLIP)
        with Trainer(program, scratch, args.device, args.threads, **options) as driver:
            ours = epoch(Ours(driver, task), task, batches, dev)
    torch.manual_seed(1000 + seed)
    return ours, epoch(Peer(model, task), task, batches, dev)


def compare(args, program, name, task, data, record):
    (ours, scores, seconds), (theirs, peers, took) = both(args, program, task, data, 0, False)
    off = [abs(a - b) for a, b in zip(ours, theirs)]
    figures = {"steps": len(ours), "loss_error": round(max(off[:FIRST]), 6), "last_loss_error": round(off[-1], 6)}
    for measure, score in scores.items():
        figures |= {measure: round(score, 2), f"torch_{measure}": round(peers[measure], 2)}
    figures |= {"seconds": round(seconds, 1), "torch_seconds": round(took, 1)}
    near = all(abs(score - peers[measure]) <= task.near for measure, score in scores.items())
    record.add(name, near and max(off[:FIRST]) <= LOSS, **figures)


def seeds(args, program, task, data, record):
    """MRPC with dropout, three times."""
    runs = [both(args, program, task, data, seed, True) for seed in (1, 2, 3)]
    figures = {}
    for side, name in ((0, ""), (1, "torch_")):
        for measure in runs[0][0][1]:
            values = [run[side][1][measure] for run in runs]
            figures[f"{name}{measure}"] = [round(value, 2) for value in values]
            figures[f"{name}{measure}_mean"] = round(statistics.mean(values), 2)
            figures[f"{name}{measure}_deviation"] = round(statistics.stdev(values), 2)
    record.add("seeds", None, **figures)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--model", type=Path, required=True, help="the base, of any head")
    args.add_argument("--glue", type=Path, required=True, help="with SST-2, MRPC and STS-B")
    args.add_argument("--wnut", type=Path, required=True, help="WNUT-17")
    args.add_argument("--device", default="cpu")
    args.add_argument("--threads", type=int, default=0)
    args.add_argument("--only", default="sst-2,mrpc,sts-b,wnut-17,seeds")
    args.add_argument("--record", type=Path, default=Path(__file__).parent / "records" / "parity.jsonl")
    args = args.parse_args()

    program, record = build()["trainer"], Record(args.record)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    pair = ("#1 String", "#2 String")
    for name in args.only.split(","):
        match name:
            case "sst-2":
                task, folder, texts = Classes(tokenizer, 0.5, 32, 5e-5), args.glue / "SST-2", ("sentence",)
                data = task.read(folder / "train.tsv", texts, 10_000), task.read(folder / "dev.tsv", texts)
            case "mrpc" | "seeds":
                task, folder = Classes(tokenizer, 1.5, 16, 1e-4), args.glue / "MRPC"
                data = task.read(folder / "train.tsv", pair), task.read(folder / "dev.tsv", pair)
            case "sts-b":
                task, folder, texts = Similarity(tokenizer, 0.5, 16, 5e-5), args.glue / "STS-B", ("sentence1", "sentence2")
                data = task.read(folder / "train.tsv", texts), task.read(folder / "dev.tsv", texts)
            case "wnut-17":
                task = Entities(tokenizer, 1.5, 16, 2e-4)
                train = task.read(args.wnut / "wnut17train.conll")
                data = train, task.read(args.wnut / "emerging.dev.conll", task.names)
            case _:
                sys.exit(f"there is no step {name}")
        if name == "seeds":
            seeds(args, program, task, data, record)
        else:
            compare(args, program, name, task, data, record)
    sys.exit(record.status())


if __name__ == "__main__":
    main()
