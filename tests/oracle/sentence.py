"""Writes tests/fixtures/sentence/cases.json: directories of sentence-transformers, and the vectors that it makes with them.

    python tests/oracle/sentence.py            # the same bytes every time

A list of {"name", "base", "at", "files", "weights", "runs"}. A case's directory is the model `tests/fixtures/tasks/BASE` put
into the directory `at` ("" for none), without its modules, and on it `files` by path, each an object for JSON, and `weights`
by path, each a file in hexadecimal digits. A run is {"text", "pair"?, "prompt"?, "dimensions"?, "normalize",
"values"}: what SentenceTransformer.encode gives on the CPU in F32; "normalize" is its normalize_embeddings, and a prompt is
given by name where the model has one of that name.
"""

import io
import json
import shutil
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors.torch import save
from sentence_transformers import SentenceTransformer
from transformers.utils import logging

FIXTURES = Path(__file__).parent.parent / "fixtures"
OUT = FIXTURES / "sentence" / "cases.json"
MODEL_FILES = ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
HIDDEN = 24
OLD = "sentence_transformers.models.{}"
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Normalize": "sentence_transformers.sentence_transformer.modules.normalize.Normalize",
    "LayerNorm": "sentence_transformers.sentence_transformer.modules.layer_norm.LayerNorm",
    "Dropout": "sentence_transformers.sentence_transformer.modules.dropout.Dropout",
}
SHORT, LONG = "the cat sat on the mat", "Ada Lovelace lived in London, and wrote a good program for a machine. " * 2
TEXTS = [{"text": SHORT}, {"text": LONG}, {"text": ""}, {"text": SHORT, "pair": "it was not bad"}]


class Case:
    """A directory in the making. `old` takes the class paths from before version 5.4."""

    def __init__(self, name, base="plain", at="", old=False):
        self.name, self.base, self.at, self.old = name, base, at, old
        self.files, self.weights, self.modules, self.calls = {}, {}, [], []
        self.random = torch.Generator().manual_seed(sum(map(ord, name)))
        self.add("Transformer", None)

    def add(self, kind, config, tensors=None, dtype=torch.float32):
        index = len(self.modules)
        path = self.at if index == 0 else f"{index}_{kind}"
        known = OLD.format(kind) if self.old else NEW[kind]
        self.modules.append({"idx": index, "name": str(index), "path": path, "type": known})
        if config is not None:
            self.files[f"{path}/config.json"] = config
        if tensors is not None:
            self.weights[f"{path}/model.safetensors"] = {k: v.to(dtype) for k, v in tensors.items()}
        return self

    def noise(self, *shape):
        return torch.randn(*shape, generator=self.random) / shape[-1] ** 0.5

    def reading(self, name="sentence_bert_config.json", **config):
        self.files[f"{self.at}/{name}".lstrip("/")] = config
        return self

    def whole(self, **config):
        self.files["config_sentence_transformers.json"] = config
        return self

    def pool(self, mode="mean", **config):
        return self.add("Pooling", {"embedding_dimension": HIDDEN, "pooling_mode": mode, **config})

    def pool_by(self, *keys, **config):
        return self.add("Pooling", {"word_embedding_dimension": HIDDEN, **{f"pooling_mode_{key}": True for key in keys}, **config})

    def dense(self, cols, rows, activation="torch.nn.modules.activation.Tanh", bias=True, dtype=torch.float32, **config):
        config = {"in_features": cols, "out_features": rows, "bias": bias, "activation_function": activation, **config}
        tensors = {"linear.weight": 2 * self.noise(rows, cols), **({"linear.bias": self.noise(rows)} if bias else {})}
        return self.add("Dense", config, tensors, dtype)

    def old_format(self):
        """The last module's weights as torch.save writes them."""
        path = next(reversed(self.weights))
        self.weights[path.replace("model.safetensors", "pytorch_model.bin")] = self.weights.pop(path)
        return self

    def norm(self, cols):
        return self.add("LayerNorm", {"dimension": cols}, {"norm.weight": 1 + self.noise(cols), "norm.bias": self.noise(cols)})

    def normalize(self):
        return self.add("Normalize", None)

    def run(self, **call):
        self.calls.append(call)
        return self


def cases():
    yield Case("dense").pool("cls").dense(HIDDEN, 16).normalize()
    yield (
        Case("chain").pool("mean").dense(HIDDEN, 40, "torch.nn.modules.activation.GELU", bias=False).norm(40)
        .add("Dropout", {"dropout": 0.3}).dense(40, 8, "torch.nn.modules.linear.Identity")
    )  # fmt: skip
    yield (
        Case("old-paths", base="max", at="0_Transformer", old=True).reading(max_seq_length=10, do_lower_case=False)
        .pool_by("max_tokens", pooling_mode_mean_tokens=False).dense(HIDDEN, 12, "torch.nn.modules.activation.ReLU").normalize()
    )  # fmt: skip
    functions = Case("functions").pool("mean")
    for name in ("ReLU6", "LeakyReLU", "SiLU", "Mish", "Sigmoid", "Tanh"):
        functions.dense(HIDDEN, HIDDEN, f"torch.nn.{name}")
    yield functions
    # Of another package, so the default: tanh.
    yield Case("foreign-function").pool("mean").dense(HIDDEN, 6, "transformers.activations.GELUActivation")
    yield Case("half").pool("lasttoken").dense(HIDDEN, 20, dtype=torch.float16)
    yield Case("bin", old=True).pool_by("mean_tokens").dense(HIDDEN, 6).old_format()
    yield Case("of-tokens").dense(HIDDEN, 10, module_input_name="token_embeddings").pool(["max", "mean"])
    yield Case("pooler").reading(
        transformer_task="feature-extraction", module_output_name="sentence_embedding",
        modality_config={"text": {"method": "forward", "method_output_name": "pooler_output"}},
    ).dense(HIDDEN, 5).normalize()  # fmt: skip

    yield Case("two").pool(["cls", "mean"])
    yield Case("six").pool(["lasttoken", "weightedmean", "mean_sqrt_len_tokens", "mean", "max", "cls"]).normalize()
    yield Case("twice").pool(["mean", "mean", "cls"])
    yield Case("one-of-a-list").pool(["weightedmean"])
    yield Case("old-six", old=True).pool_by(
        "lasttoken", "weightedmean_tokens", "mean_sqrt_len_tokens", "mean_tokens", "max_tokens", "cls_token"
    )  # fmt: skip
    yield Case("old-none").pool_by(pooling_mode_cls_token=False, pooling_mode_mean_tokens=False)
    yield Case("word-before-switches").pool("cls", pooling_mode_mean_tokens=True)

    yield Case("unit-first").pool("mean").normalize().dense(HIDDEN, 9)
    yield Case("unit-too-early").normalize().pool("mean_sqrt_len_tokens").normalize().norm(HIDDEN).normalize().normalize()
    yield Case("dot").whole(similarity_fn_name="dot").pool("mean").normalize().run(dimensions=7)
    yield Case("kept").whole(truncate_dim=10).pool(["mean", "cls"]).run(dimensions=30).run(dimensions=4)
    yield Case("kept-more").whole(truncate_dim=1000, similarity_fn_name="manhattan").pool("mean")

    prompts = {"query": "query: ", "passage": "a good text about "}
    yield (
        Case("prompts").whole(prompts=prompts, default_prompt_name="query").pool("mean").normalize()
        .run(prompt="query").run(prompt="passage").run(prompt="document").run(prompt="").run(prompt="the movie, ")
    )  # fmt: skip
    yield Case("named-prompts").whole(prompts={**prompts, "document": None}).pool("mean").run(prompt="query").run(prompt="document")
    for mode in ("cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ["mean", "cls"]):
        name = mode if isinstance(mode, str) else "-".join(mode)
        case = Case(f"no-prompt-{name}").whole(prompts=prompts).pool(mode, include_prompt=False)
        # A prompt that ends within a word; one with more tokens than it has together with the text; one that leaves no room.
        case.run(prompt="query").run(prompt="passage").run(prompt=", unbeliev")
        if name != "max":
            case.run(prompt=", ca", text="t").run(prompt="a very long text about " * 9)
        yield case
    yield Case("default-not-pooled").whole(prompts=prompts, default_prompt_name="passage").pool("mean", include_prompt=False)

    yield Case("max-length").reading(transformer_task="feature-extraction", processing_kwargs={"text": {"max_length": 7}}).pool("mean")
    yield Case("args", old=True).reading(max_seq_length=20, tokenizer_args={"model_max_length": 6}, model_args={"torch_dtype": "float32"}).pool("mean")
    yield Case("roberta-name", old=True).reading("sentence_roberta_config.json", max_seq_length=5).pool("mean")
    yield Case("lower", base="max").reading(max_seq_length=30, do_lower_case=True).pool("mean").run(text="PARIS \u039f\u0394\u039f\u03a3 Caf\u00e9 NEW York")


def put(case, directory):
    inside = directory / case.at
    inside.mkdir(parents=True, exist_ok=True)
    for name in MODEL_FILES:
        shutil.copy(FIXTURES / "tasks" / case.base / name, inside / name)
    case.files["modules.json"] = case.modules
    for name, value in case.files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value))
    hexes = {}
    for name, tensors in case.weights.items():
        data = save(tensors)
        if name.endswith(".bin"):
            stream = io.BytesIO()
            torch.save(tensors, stream)
            data = stream.getvalue()
        (directory / name).write_bytes(data)
        hexes[name] = data.hex()
    return hexes


def rounded(value):
    """Some digits more than the tests look at."""
    return float(f"{value:.6g}")


def runs(case, model):
    unit = case.modules[-1]["type"].endswith(".Normalize")
    angle = model.similarity_fn_name == "cosine"
    calls = [{}] + case.calls
    for call in calls:
        for text in [{"text": call["text"]}] if "text" in call else TEXTS[:: 2 if call else 1]:
            given = [(text["text"], text["pair"])] if "pair" in text else [text["text"]]
            options = {}
            if "prompt" in call:
                options["prompt_name" if call["prompt"] in model.prompts else "prompt"] = call["prompt"]
            if "dimensions" in call:
                options["truncate_dim"] = call["dimensions"]
            shortened = "dimensions" in call or model.truncate_dim is not None
            # There is no way to ask for a part of a vector that was scaled before, where the angle counts.
            ways = [True] if unit and angle and shortened else [False]
            for normalize in ways if text is not TEXTS[0] else {*ways, True}:
                [values] = model.encode(given, normalize_embeddings=normalize, show_progress_bar=False, **options)
                yield {**text, **call, "normalize": normalize, "values": [rounded(float(x)) for x in values]}


def main():
    warnings.simplefilter("ignore")
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(1)
    written = []
    for case in cases():
        with tempfile.TemporaryDirectory() as directory:
            hexes = put(case, Path(directory))
            model = SentenceTransformer(directory, device="cpu")
            found = list(runs(case, model))
        of = {"name": case.name, "base": case.base, "at": case.at, "files": case.files, "weights": hexes, "runs": found}
        written.append(json.dumps(of, ensure_ascii=False))
        print(case.name, len(found))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("[" + ",\n".join(written) + "]\n")


if __name__ == "__main__":
    main()
