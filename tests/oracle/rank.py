"""Writes tests/fixtures/rank.json: what sentence-transformers' CrossEncoder makes of queries and texts.

    python tests/oracle/rank.py            # the same bytes every time

A list of {"model", "config", "files", "query", "texts", "prompt"?, "result"}. The model is a directory in tests/fixtures/tasks
whose config.json gets the keys of `config` (null removes one), and which gets `files` beside it, by their names. `result` is
what CrossEncoder.rank of sentence-transformers 5.7 gives (CPU, F32): {"corpus_id", "score"}, the best first; or
{"raises": true}. The script stops if two scores that differ do so by less than the tests' tolerance, which would test rounding.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder
from transformers.utils import logging

from encoder import FIXTURES
from task_cases import LONG

TOLERANCE = 1e-4
QUERY = "Who wrote the program?"
TEXTS = [
    "The cat sat on the mat.",
    "Ada Lovelace wrote it.",
    "",
    "  Café \u6771\u4eac \U0001f600\n",
    "Ada Lovelace wrote it.",
    "[SEP] The program [MASK]",
    LONG,
]
NEWER = "sentence_transformers"
OLDER = "sbert_ce_default_activation_function"
IDENTITY = "torch.nn.modules.linear.Identity"
TRANSFORMER = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]


def saved(settings, **reading):
    """The files that sentence-transformers 5 saves beside a cross-encoder."""
    text = {"text": {"method": "forward", "method_output_name": "logits"}}
    task = {"transformer_task": "sequence-classification", "modality_config": text, "module_output_name": "scores"}
    return {
        "modules.json": TRANSFORMER,
        "config_sentence_transformers.json": {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None, **settings},
        "sentence_bert_config.json": {**task, **reading},
    }


def newer(path):
    return {NEWER: {"version": "4.1.0", "activation_fn": path}}


# Where a function turns, scores are close.
FEW = {"texts": [TEXTS[0], TEXTS[6]]}
PROMPTS = {"prompts": {"query": "food: ", "none": ""}, "default_prompt_name": "query"}
CASES = [
    # Which activation, and where it is said.
    ("one", {}, {}),
    ("one", newer(IDENTITY), {}),
    ("one", newer("torch.nn.modules.activation.Sigmoid"), {}),
    ("one", newer("torch.nn.modules.activation.Tanh"), {}),
    ("one", newer("torch.nn.GELU"), {}, FEW),
    ("one", newer("torch.nn.modules.activation.SiLU"), {}, FEW),
    ("one", newer("torch.nn.Mish"), {}, FEW),
    ("one", newer("torch.nn.modules.activation.LeakyReLU"), {}),
    ("one", newer("torch.nn.ReLU"), {}),
    ("one", newer("torch.nn.ReLU6"), {}),
    ("one", newer("mine.Activation"), {}),
    ("one", newer("torch.nn.modules.activation.NoSuchThing"), {}),
    ("one", newer(None), {}),
    ("one", {OLDER: IDENTITY}, {}),
    ("one", {OLDER: IDENTITY, **newer(None)}, {}),
    ("one", {OLDER: IDENTITY, NEWER: {"version": "4.0.0"}}, {}),
    ("one", {OLDER: None}, {}),
    ("stars", newer(IDENTITY), {}),
    ("stars", {}, {}),
    # As version 5 saves it.
    ("one", {}, saved({"activation_fn": IDENTITY})),
    ("one", newer(IDENTITY), saved({"activation_fn": "torch.nn.modules.activation.Tanh"})),
    ("one", newer(IDENTITY), saved({"activation_fn": None})),
    ("one", newer(IDENTITY), saved({"activation_fn": "mine.Activation"})),
    ("one", {}, {**saved({"activation_fn": IDENTITY}), "modules.json": None}),
    ("one", {}, saved({"activation_fn": IDENTITY, "model_type": "SentenceTransformer"})),
    ("one", newer(IDENTITY), saved({}, max_seq_length=12)),
    ("one", newer(IDENTITY), saved(PROMPTS)),
    ("one", newer(IDENTITY), saved(PROMPTS), {"prompt": "none"}),
    ("one", newer(IDENTITY), saved({**PROMPTS, "default_prompt_name": None})),
    ("one", newer(IDENTITY), saved({**PROMPTS, "default_prompt_name": None}), {"prompt": "query"}),
    ("one", newer(IDENTITY), saved({**PROMPTS, "default_prompt_name": "absent"})),
    # Lengths, on either side.
    ("one", newer(IDENTITY), {}, {"query": LONG}),
    ("one", newer(IDENTITY), {}, {"query": LONG, "texts": [LONG + " The end.", LONG, "The dog. " * 30, "a"]}),
    ("one", newer(IDENTITY), {}, {"query": "The dog. " * 30, "texts": [LONG, "x"]}),
    ("one", newer(IDENTITY), {}, {"query": ""}),
    ("one", newer(IDENTITY), {}, {"texts": []}),
    ("one", newer(IDENTITY), {}, {"texts": [TEXTS[0]] * 5 + [TEXTS[1]] * 5}),
    # Several labels are no ranking.
    ("moods", {}, {}),
    ("unnamed", {}, {}),
]  # fmt: skip


def assembled(directory, model, config, files):
    shutil.copytree(FIXTURES / "tasks" / model, directory)
    path = directory / "config.json"
    merged = {**json.loads(path.read_text()), **config}
    path.write_text(json.dumps({k: v for k, v in merged.items() if v is not None}))
    for name, value in files.items():
        if value is not None:
            (directory / name).write_text(json.dumps(value))


def rank(model, query, texts, prompt):
    names = {"prompt_name": prompt} if prompt in model.prompts else {"prompt": prompt}
    # One at a time: padding would change the last bits, and equal texts would no longer be equal.
    found = model.rank(query, texts, batch_size=1, **names)
    scores = [float(one["score"]) for one in found]
    assert all(a == b or a - b > TOLERANCE for a, b in zip(scores, scores[1:])), f"these depend on rounding: {scores}"
    return [{"corpus_id": one["corpus_id"], "score": float(f"{score:.9g}")} for one, score in zip(found, scores)]


def main():
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(1)
    lines = []
    for number, (model, config, files, *others) in enumerate(CASES):
        given = {"query": QUERY, "texts": TEXTS, **dict(*others)}
        entry = {"model": model, "config": config, "files": {k: v for k, v in files.items() if v is not None}, **given}
        with tempfile.TemporaryDirectory() as parent:
            directory = Path(parent) / "model"
            assembled(directory, model, config, files)
            try:
                cross_encoder = CrossEncoder(str(directory), device="cpu")
                entry["result"] = rank(cross_encoder, given["query"], given["texts"], given.get("prompt"))
            except AssertionError as error:
                raise SystemExit(f"case {number} {model} {config}: {error}")
            except Exception as error:
                entry["result"] = {"raises": True}
                print(f"{number} {model} {config} raises {type(error).__name__}: {error}")
        lines.append(json.dumps(entry, ensure_ascii=False))
    (FIXTURES / "rank.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8", newline="")
    print(f"{len(lines)} cases")


if __name__ == "__main__":
    main()
