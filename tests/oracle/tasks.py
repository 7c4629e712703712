"""Writes tests/fixtures/tasks: small random models with tokenizers, and what transformers' pipelines make of texts.

    python tests/oracle/tasks.py            # the same bytes every time

`cases.json` is a list of {"task", "model", "input", "options", "result"}; the model is a directory beside it. `result`
is what the pipeline of transformers 4.57 gives (CPU, F32), with its own fields and its order, offsets in code points; or
{"raises": true}. By task:

    fill-mask      {"text"}            top_k, targets                     rows {"mask", "score", "token", "token_str", "sequence"};
                                                                          `mask` counts the text's masks
    classify       {"text", "pair"?}   (truncation=True, top_k=None)      {"label", "score"} of every label, best first
    tag            {"text"}            aggregation                        {"entity", "score", "index", "word", "start", "end"} or
                                                                          {"entity_group", "score", "word", "start", "end"}
    embed          {"text"}            pooling, normalize                 {"embedding"}, as sentence-transformers has it;
                                                                          "auto" means what modules.json says
    next-sentence  {"text", "pair"}                                       {"is_next"}, the softmax's first
    zero-shot      {"text"}            labels, template, multi_label      {"labels", "scores"}
    tokenize       {"text", "pair"?}   (no truncation)                    {"ids", "tokens", "offsets", "types", "special"}

The sentence-transformers package is not needed: a text is stripped, lower-cased if do_lower_case says so, cut to
max_seq_length tokens with [CLS] and [SEP] (absent: to the tokenizer's limit), pooled over all its tokens, and divided by
max(its 2-norm, 1e-12) where there is a Normalize module. A case whose rows, without their scores, differ under noise of
1e-4 in the logits would test rounding: the script stops and says which.
"""

import json
import warnings

import torch
from transformers import AutoTokenizer, pipeline
from transformers.utils import logging

from checkpoint import load
from task_cases import CASES
from task_models import LONGEST, MODELS, OUT, write, write_text

NOISE = 1e-4
PIPELINES = {
    "fill-mask": "fill-mask",
    "classify": "text-classification",
    "tag": "token-classification",
    "zero-shot": "zero-shot-classification",
}


class Runner:
    """One model; `noise` is what the logits are shaken by."""

    def __init__(self, model):
        self.directory = OUT / model.name
        self.model = load(self.directory)
        self.tokenizer = AutoTokenizer.from_pretrained(self.directory)
        self.noise = 0.0
        self.pipelines = {}

        def shake(module, inputs, output):
            if self.noise and hasattr(output, "logits"):
                output.logits += self.noise * (2 * torch.rand_like(output.logits) - 1)

        self.model.register_forward_hook(shake)

    def pipeline(self, task):
        if task not in self.pipelines:
            self.pipelines[task] = pipeline(PIPELINES[task], model=self.model, tokenizer=self.tokenizer, device="cpu")
        return self.pipelines[task]

    @torch.no_grad()
    def run(self, task, given, options):
        return getattr(self, task.replace("-", "_"))(given, options)

    def fill_mask(self, given, options):
        found = self.pipeline("fill-mask")(given["text"], **options)
        masks = found if isinstance(found[0], list) else [found]
        return [{"mask": i, **row} for i, rows in enumerate(masks) for row in rows]

    def classify(self, given, options):
        text = {"text": given["text"], "text_pair": given["pair"]} if "pair" in given else given["text"]
        return self.pipeline("classify")(text, top_k=None, truncation=True)

    def tag(self, given, options):
        found = self.pipeline("tag")(given["text"], aggregation_strategy=options["aggregation"])
        return [{k: float(v) if k == "score" else v for k, v in row.items()} for row in found]

    def zero_shot(self, given, options):
        names = {"labels": "candidate_labels", "template": "hypothesis_template", "multi_label": "multi_label"}
        found = self.pipeline("zero-shot")(given["text"], **{names[k]: v for k, v in options.items()})
        return {"labels": found["labels"], "scores": found["scores"]}

    def next_sentence(self, given, options):
        tokens = self.tokenizer(given["text"], given["pair"], truncation=True, return_tensors="pt")
        return {"is_next": self.model(**tokens).logits[0].softmax(-1)[0].item()}

    def tokenize(self, given, options):
        asked = dict(return_offsets_mapping=True, return_special_tokens_mask=True)
        found = self.tokenizer(given["text"], given.get("pair"), **asked)
        return {
            "ids": found["input_ids"],
            "tokens": found.tokens(),
            "offsets": found["offset_mapping"],
            "types": found["token_type_ids"],
            "special": found["special_tokens_mask"],
        }

    def read(self, name, default):
        path = self.directory / name
        return json.loads(path.read_text()) if path.exists() else default

    def embed(self, given, options):
        settings = self.read("sentence_bert_config.json", {})
        text = given["text"].strip()
        if settings.get("do_lower_case"):
            # As the tokenizers crate does it: character by character.
            text = "".join(map(str.lower, text))
        longest = settings.get("max_seq_length") or min(LONGEST, self.tokenizer.model_max_length)
        tokens = self.tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")
        x = self.model(**tokens).last_hidden_state[0]

        pooling, normalize = options["pooling"], options["normalize"]
        if pooling == "auto":
            modes = self.read("1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
            [pooling] = [name.removeprefix("pooling_mode_") for name, on in modes.items() if on is True]
            pooling = pooling.removesuffix("_token").removesuffix("_tokens")
        if normalize == "auto":
            normalize = any(module["type"].endswith(".Normalize") for module in self.read("modules.json", []))
        pooled = {"cls": x[0], "mean": x.mean(0), "max": x.amax(0), "mean_sqrt_len": x.sum(0) / len(x) ** 0.5}[pooling]
        if normalize:
            pooled = pooled / pooled.norm().clamp(min=1e-12)
        return {"embedding": pooled.tolist()}


def rounded(value):
    """Floats as the shortest text that is the same F32."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, (list, tuple)) else value


def shape(value):
    """A result without its numbers."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items() if k not in ("score", "scores", "is_next", "embedding")}
    return [shape(v) for v in value] if isinstance(value, list) else value


def main():
    warnings.simplefilter("ignore")
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(1)
    runners = {}
    for model in MODELS:
        write(model)
        runners[model.name] = Runner(model)
    lines, fragile, count = [], [], {}
    for task, model, given, options in CASES:
        given = {"text": given} if isinstance(given, str) else dict(zip(("text", "pair"), given))
        runner = runners[model]
        runner.noise = 0.0
        entry = {"task": task, "model": model, "input": given, "options": options}
        count[task] = count.get(task, 0) + 1
        try:
            entry["result"] = runner.run(task, given, options)
        except Exception as error:
            entry["result"] = {"raises": True}
            print(f"{task} {model} {given} {options} raises {type(error).__name__}: {error}")
        else:
            torch.manual_seed(0)
            runner.noise = NOISE
            for _ in range(4):
                if shape(runner.run(task, given, options)) != shape(entry["result"]):
                    fragile.append((task, model, given, options))
                    break
        lines.append(json.dumps(rounded(entry), ensure_ascii=False))
    assert not fragile, f"these depend on rounding: {fragile}"
    write_text(OUT / "cases.json", "[\n" + ",\n".join(lines) + "\n]\n")
    size = sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file())
    print(f"{len(lines)} cases {count}, {size} bytes")


if __name__ == "__main__":
    main()
