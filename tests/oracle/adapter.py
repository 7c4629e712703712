"""Writes the adapters' fixtures with peft: LoRA over small random BERTs, and what peft computes with them. And checks a
trained model.

    python tests/oracle/adapter.py                        # into tests/fixtures/adapters, the same bytes every time
    python tests/oracle/adapter.py --check DIR FOUND      # what a model or adapter in DIR should have given

Each `tests/fixtures/adapters/NAME/` is an adapter as `save_pretrained` writes it, over another fixture (the path to it is
in adapter_config.json), with the `config.json` of the adapted model; and `expected.safetensors`: a packed batch as
encoder.py describes it and the head's output as heads.py does, of peft in float64, F32.

FOUND has a line of JSON for each input, its token `ids` and `types` and the `logits` that Cloze gave, [L] or [S, L].
"""

import argparse
import json
import os
import shutil
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import BertConfig

import encoder
import heads
from checkpoint import canonical, load, stored_tensors
from encoder import FIXTURES, batch, packed

BASES = {f"encoder/{f.name}": f for f in encoder.ALL} | {f"heads/{f.name}": f for f in heads.ALL}
EVERY = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
TAGS = heads.TAGS


@dataclass
class Adapter:
    """`whole`: modules that are trained and saved as they are; `other`: more of peft's options."""

    name: str
    seed: int
    base: str
    architecture: str
    task: str | None
    targets: list | str
    r: int = 4
    alpha: float = 8
    whole: tuple = ()
    labels: tuple = ()
    other: tuple = ()


ALL = [
    Adapter("answer", 51, "encoder/tiny", "BertForQuestionAnswering", "QUESTION_ANS", ["query", "value"]),
    Adapter("answer-i8", 52, "encoder/i8", "BertForQuestionAnswering", "QUESTION_ANS", EVERY, r=3, alpha=7.5),
    Adapter("answer-half", 53, "encoder/f16", "BertForQuestionAnswering", "QUESTION_ANS", ["key", "output.dense"], r=1),
    Adapter("classify", 54, "heads/masked-lm", "BertForSequenceClassification", "SEQ_CLS", EVERY, r=8, alpha=16,
            whole=("pooler",), labels=heads.MOODS),
    Adapter("classify-i8", 55, "heads/masked-lm-i8", "BertForSequenceClassification", "SEQ_CLS", ["query", "value"], r=5,
            whole=("pooler",), labels=("stars",)),
    # With the pooler's linear layer among the adapted ones, by names in full.
    Adapter("classify-linear", 56, "heads/classification", "BertForSequenceClassification", "SEQ_CLS", "all-linear",
            labels=heads.MOODS, other=(("use_rslora", True),)),
    Adapter("tag", 57, "encoder/prefixless", "BertForTokenClassification", "TOKEN_CLS", ["intermediate.dense", "value"],
            labels=TAGS),
    Adapter("tag-i8", 58, "encoder/i8", "BertForTokenClassification", None, r".*\.(key|intermediate\.dense)", labels=TAGS,
            whole=("classifier",)),
    # The decoder is saved with the head, and no longer the table of word embeddings.
    Adapter("words", 59, "heads/masked-lm", "BertForMaskedLM", None, ["query", "value"], whole=("cls",)),
    Adapter("embed", 60, "encoder/plain", "BertModel", "FEATURE_EXTRACTION", ["query"], other=(("layers_to_transform", [1]),)),
    Adapter("dora", 61, "encoder/tiny", "BertForQuestionAnswering", "QUESTION_ANS", ["query", "output.dense"],
            other=(("use_dora", True), ("fan_in_fan_out", True))),
    # Over 8 bits it is widened.
    Adapter("dora-i8", 62, "encoder/i8", "BertForQuestionAnswering", "QUESTION_ANS", EVERY, r=2,
            other=(("use_dora", True), ("use_rslora", True))),
    # By the ends of names and by regular expressions. peft sorts them when it saves, and takes the first that matches.
    Adapter("patterns", 63, "encoder/tiny", "BertForQuestionAnswering", "QUESTION_ANS", ["query", "value", "output.dense"],
            other=(("rank_pattern", {"layer.0.attention.self.query": 2, r"^bert\.encoder\.layer\.1\..*\.(query|value)": 6}),
                   ("alpha_pattern", {"value": 3, r"encoder\.layer\.\d+\.output\..*": 20}), ("use_rslora", True))),
    Adapter("patterns-bare", 64, "encoder/plain", "BertModel", "FEATURE_EXTRACTION", ["query", "key"],
            other=(("rank_pattern", {"query": 2}), ("alpha_pattern", {"encoder.layer.0.attention.self.query": 1}))),
    Adapter("bias-all", 65, "heads/masked-lm", "BertForSequenceClassification", "SEQ_CLS", ["query"], whole=("pooler",),
            labels=heads.MOODS, other=(("bias", "all"),)),
    Adapter("bias-lora", 66, "encoder/i8", "BertForQuestionAnswering", "QUESTION_ANS", ["query", "value"],
            other=(("bias", "lora_only"),)),
    # Of B itself.
    Adapter("bias-b", 67, "encoder/i8", "BertForQuestionAnswering", "QUESTION_ANS", EVERY, other=(("lora_bias", True),)),
    # Tables of embeddings: the decoder, tied in the base, is not adapted with them.
    Adapter("tables", 68, "heads/masked-lm", "BertForMaskedLM", None, ["query", "word_embeddings", "position_embeddings"]),
    Adapter("tables-i8", 69, "encoder/i8", "BertForQuestionAnswering", "QUESTION_ANS", ["word_embeddings", "key"]),
    Adapter("words-whole", 70, "heads/masked-lm", "BertForMaskedLM", None, ["query"], whole=("word_embeddings",)),
]


def model_of(base, config):
    """The class that `config` names with the weights of the directory `base`, and which of its tensors have none there."""
    config._attn_implementation = "eager"
    [name] = config.architectures
    model = getattr(transformers, name)(config)
    state = canonical(stored_tensors(base))
    if name == "BertModel":
        state = {k.removeprefix("bert."): t for k, t in state.items()}
    own = model.state_dict()
    state = {k: t for k, t in state.items() if k in own and own[k].shape == t.shape}
    missing, _ = model.load_state_dict(state, strict=False)
    if config.tie_word_embeddings:
        model.tie_weights()
    # Buffers have no weights.
    return model.eval(), [name for name in missing if name in dict(model.named_parameters())]


@torch.no_grad()
def outputs(model, architecture, ids, types):
    """What the head gives for one sequence, [S, ·] or [1, ·]."""
    if isinstance(model, PeftModel):
        # peft's own forward for QUESTION_ANS takes token_type_ids and does not hand them on.
        model = model.get_base_model()
    found = model(input_ids=ids[None], token_type_ids=types[None], attention_mask=torch.ones_like(ids)[None])
    match architecture:
        case "BertForQuestionAnswering":
            return torch.stack([found.start_logits[0], found.end_logits[0]], -1)
        case "BertForSequenceClassification" | "BertForNextSentencePrediction":
            return found.logits
        case "BertModel":
            return found.last_hidden_state[0]
        case _:
            return found.logits[0]


def randomise(parameters, seed):
    """Values that hide nothing: peft begins with B = 0."""
    random = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(parameters):
        if "lora_" in name or "modules_to_save" in name or parameter.requires_grad:
            fan = parameter.shape[-1] if parameter.dim() == 2 else 10
            parameter.data = torch.randn(parameter.shape, generator=random).to(parameter.dtype) / fan**0.5


def write(adapter):
    directory, base = FIXTURES / "adapters" / adapter.name, FIXTURES / adapter.base
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    fixture = BASES[adapter.base]
    config = BertConfig.from_pretrained(base)
    config.architectures = [adapter.architecture]
    if adapter.labels:
        config.id2label = dict(enumerate(adapter.labels))
        config.label2id = {label: i for i, label in enumerate(adapter.labels)}
    config.save_pretrained(directory)

    model, missing = model_of(base, config)
    options = dict(adapter.other)
    lora = LoraConfig(
        r=adapter.r, lora_alpha=adapter.alpha, target_modules=adapter.targets, task_type=adapter.task,
        modules_to_save=list(adapter.whole) or None, **options,
    )
    model = get_peft_model(model, lora).eval()
    # What the base has not must be saved, or the adapter would not say what it is.
    trained = [name for name, _ in model.named_parameters() if "modules_to_save" in name]
    for module, kind in (name.rsplit(".", 1) for name in missing):
        assert any(f"{module.split('.')[0]}." in n and n.endswith(kind) for n in trained), f"{module} is not saved"
    randomise(model.named_parameters(), adapter.seed)
    model.peft_config["default"].base_model_name_or_path = f"../../{adapter.base}"
    model.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink()
    if adapter.name == "answer":
        # As peft wrote it before 0.7.
        state = OrderedDict(sorted(load_file(directory / "adapter_model.safetensors").items()))
        torch.save(state, FIXTURES / "torch" / "adapter_model.bin")
    # A set's order is not the same every time.
    path = directory / "adapter_config.json"
    written = json.loads(path.read_text())
    if isinstance(written["target_modules"], list):
        written["target_modules"].sort()
    path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")

    model = model.double()
    sequences = batch(fixture)
    expected = torch.cat([outputs(model, adapter.architecture, ids, types) for ids, types in sequences]).float()
    found = torch.cat([outputs(reload(directory), adapter.architecture, ids, types) for ids, types in sequences])
    worst = (expected - found).abs().max().item()
    assert worst < 5e-5, f"{adapter.name}: read again it differs by {worst}"
    save_file({"logits": expected.contiguous()} | packed(sequences), directory / "expected.safetensors")
    size = sum(f.stat().st_size for f in directory.iterdir())
    print(f"{adapter.name:18} {size:7} bytes, read again within {worst:.1e}")


def base_of(directory):
    """Where the base of the adapter in `directory` lies."""
    name = json.loads((directory / "adapter_config.json").read_text())["base_model_name_or_path"]
    return next(place for place in (directory / name, Path(name)) if place.is_dir())


def reload(directory):
    """The model in `directory`: a whole one with transformers, an adapter with peft on its base."""
    if not (directory / "adapter_config.json").exists():
        return load(directory)
    model, _ = model_of(base_of(directory), BertConfig.from_pretrained(directory))
    return PeftModel.from_pretrained(model, directory).eval()


def check(directory, found):
    """The largest difference between the logits in the file `found` and those of the model in `directory`."""
    [architecture] = BertConfig.from_pretrained(directory).architectures
    model = reload(directory)
    kind = "adapter" if isinstance(model, PeftModel) else "model"
    worst, largest, count = 0.0, 0.0, 0
    for line in found.read_text().splitlines():
        case = json.loads(line)
        theirs = outputs(model, architecture, torch.tensor(case["ids"]), torch.tensor(case["types"]))
        ours = torch.tensor(case["logits"]).reshape(theirs.shape)
        worst = max(worst, (theirs - ours).abs().max().item())
        largest = max(largest, theirs.abs().max().item())
        count += 1
    assert count > 0, "nothing to compare"
    print(f"{architecture}, {kind}: {count} inputs, logits up to {largest:.3f}, largest difference {worst:.2e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", nargs=2, type=Path, metavar=("DIR", "FOUND"))
    arguments = parser.parse_args()
    if arguments.check:
        check(*arguments.check)
    else:
        for adapter in ALL:
            write(adapter)
