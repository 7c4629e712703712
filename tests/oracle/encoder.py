"""Writes the encoder's fixtures: small awkward BERT models, and what PyTorch computes with them.

    python -m venv oracle && oracle/bin/pip install -r tests/oracle/requirements.txt
    oracle/bin/python tests/oracle/encoder.py            # into tests/fixtures, the same bytes every time

Each `tests/fixtures/encoder/NAME/` is a Hugging Face model directory with random weights, and `expected.safetensors`
in Cloze's packed form: B sequences one after the other, T tokens in all, no padding.

    ids, types, positions   I32 [T]          offsets            I32 [B+1], where each sequence starts
    embeddings.sum          [T, H] before    embeddings.output  [T, H] after LayerNorm
    layer.I.qkv             [T, 3H] q|k|v    layer.I.context    [T, H] softmax(q k' / sqrt D) v, heads side by side
    layer.I.attention_sum   [T, H] dense + bias + residual      layer.I.attention_output   its LayerNorm
    layer.I.up              [T, F] after the activation
    layer.I.down_sum        [T, H] dense + bias + residual      layer.I.output             its LayerNorm
    logits                  [T, 2] start|end, of a QA model     pooled  [B, H] of a plain encoder

Each sequence is computed alone and in float64 from the stored weights by the formulas below, then rounded to F32. The
script stops unless transformers itself agrees, in F32 on one padded batch. `activations.safetensors` holds every
activation without parameters that a config may name, `x` [N] and its values under the name [N].
"""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import layer_norm, linear
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig
from transformers.activations import ACT2FN

from checkpoint import canonical, load, stored_tensors

FIXTURES = Path(__file__).parent.parent / "fixtures"
AGREE = 1e-5  # F32 against float64, on values of order 1 to 10
SHORT = (7, 1, 3, 5, 2, 7, 4, 6, 1, 7, 2, 3, 5)  # 13 sequences
LONG = (1, 33, 70, 130)  # several blocks of keys, none of them full


@dataclass
class Fixture:
    """A model's shape, its batch, how it is stored, and which parts of a layer are kept (none named: everything)."""

    name: str
    seed: int
    hidden: int = 32
    heads: int = 4
    feed_forward: int = 37
    layers: int = 2
    vocab: int = 99
    types: int = 2
    positions: int = 40
    activation: str = "gelu"
    eps: float = 1e-12
    lengths: tuple = SHORT
    architecture: str = "BertForQuestionAnswering"
    store: str = "f32"
    keep: tuple = ()

    def config(self):
        return BertConfig(
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            num_attention_heads=self.heads,
            intermediate_size=self.feed_forward,
            num_hidden_layers=self.layers,
            type_vocab_size=self.types,
            max_position_embeddings=self.positions,
            hidden_act=self.activation,
            layer_norm_eps=self.eps,
            architectures=[self.architecture],
        )


def stored(name, keep=("output",)):
    """One model in each way of storing it."""
    return Fixture(name, 1, layers=1, store=name, keep=keep)


def activation(name, seed):
    """The smallest model that shows an activation."""
    shape = dict(layers=1, hidden=16, heads=2, feed_forward=19, vocab=31, positions=8)
    return Fixture(name, seed, **shape, activation=name, keep=("up", "output"))


def head(name, seed, **other):
    """A head size for which attention has kernels of its own, over sequences of several blocks."""
    shape = dict(heads=2, layers=1, vocab=41, positions=130, lengths=LONG)
    return Fixture(name, seed, **shape, keep=("context",), **other)


ALL = [
    Fixture("tiny", 1),
    stored("f16"),
    stored("bf16"),
    stored("i8", keep=()),
    stored("prefixless"),
    stored("sharded"),
    # An eps this large shows where it stands in the formula.
    Fixture("odd", 2, hidden=30, heads=6, feed_forward=41, layers=1, types=3, activation="gelu_new", eps=1e-2),
    Fixture("plain", 3, heads=2, feed_forward=50, types=16, lengths=(40, 1, 9), keep=("output",),
            architecture="BertModel"),
    head("head32", 4, hidden=64, feed_forward=96),
    head("head64", 5, hidden=128, feed_forward=64, store="f16"),
    activation("relu", 6),
    activation("silu", 7),
    activation("tanh", 8),
    activation("gelu_pytorch_tanh", 9),
    activation("gelu_fast", 10),
    activation("quick_gelu", 11),
]


class Weights(dict):
    """Random weights that hide nothing: no zero bias, no unit gain, every product of order 1 so that attention is neither
    uniform nor one-hot."""

    def __init__(self, seed):
        self.random = torch.Generator().manual_seed(seed)

    def normal(self, name, *shape, std, mean=0.0):
        self[name] = mean + std * torch.randn(*shape, generator=self.random)

    def dense(self, name, rows, cols):
        self.normal(f"{name}.weight", rows, cols, std=1.5 / math.sqrt(cols))
        self.normal(f"{name}.bias", rows, std=0.3)

    def norm(self, name, size):
        self.normal(f"{name}.LayerNorm.weight", size, std=0.3, mean=1.0)
        self.normal(f"{name}.LayerNorm.bias", size, std=0.3)


def encoder_weights(fixture):
    h, f = fixture.hidden, fixture.feed_forward
    w = Weights(fixture.seed)
    for table, rows in (("word", fixture.vocab), ("position", fixture.positions), ("token_type", fixture.types)):
        w.normal(f"bert.embeddings.{table}_embeddings.weight", rows, h, std=0.5)
    w.norm("bert.embeddings", h)
    for i in range(fixture.layers):
        layer = f"bert.encoder.layer.{i}"
        for part in ("query", "key", "value"):
            w.dense(f"{layer}.attention.self.{part}", h, h)
        w.dense(f"{layer}.attention.output.dense", h, h)
        w.norm(f"{layer}.attention.output", h)
        w.dense(f"{layer}.intermediate.dense", f, h)
        w.dense(f"{layer}.output.dense", h, f)
        w.norm(f"{layer}.output", h)
    return w


def random_weights(fixture):
    w, h = encoder_weights(fixture), fixture.hidden
    if fixture.architecture == "BertModel":
        w.dense("bert.pooler.dense", h, h)
    else:
        w.dense("qa_outputs", 2, h)
    return w


def quantised(w):
    """Symmetric 8-bit rows with an F32 scale each: the word embeddings and the encoder's dense weights."""
    out = {}
    for name, t in w.items():
        if name.endswith(("word_embeddings.weight", "dense.weight", "query.weight", "key.weight", "value.weight")):
            scale = t.abs().amax(dim=1) / 127
            out[name] = (t / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
            out[name + ".scale"] = scale
        else:
            out[name] = t
    return out


def old_names(w, positions):
    """As early checkpoints have them; the position ids are a buffer that some carry along."""
    rename = {"bert.": "", "LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    out = {"embeddings.position_ids": torch.arange(positions)[None]}
    for name, t in w.items():
        for old, new in rename.items():
            name = name.replace(old, new)
        out[name] = t
    return out


def write_model(directory, fixture, w):
    match fixture.store:
        case "f16":
            w = {k: t.half() for k, t in w.items()}
        case "bf16":
            w = {k: t.bfloat16() for k, t in w.items()}
        case "i8":
            w = quantised(w)
        case "prefixless":
            w = old_names(w, fixture.positions)
    if fixture.architecture == "BertModel":
        w = {k.removeprefix("bert."): t for k, t in w.items()}
    if fixture.store == "sharded":
        write_shards(directory, w)
    else:
        save_file(w, directory / "model.safetensors", {"format": "pt"})
    fixture.config().save_pretrained(directory)


def write_shards(directory, w):
    names = list(w)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    parts = [names[: len(names) // 2], names[len(names) // 2 :]]
    for file, part in zip(files, parts):
        save_file({k: w[k] for k in part}, directory / file, {"format": "pt"})
    index = {
        "metadata": {"total_size": sum(t.nbytes for t in w.values())},
        "weight_map": {k: file for file, part in zip(files, parts) for k in part},
    }
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def encode(w, fixture, ids, types):
    """BERT's encoder on one sequence of S tokens: every activation, [S, ·], in the weights' precision, the last layer's
    output last."""
    heads, act = fixture.heads, ACT2FN[fixture.activation]
    out = {}

    def dense(name, x):
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name, x):
        return layer_norm(x, x.shape[-1:], w[f"{name}.LayerNorm.weight"], w[f"{name}.LayerNorm.bias"], fixture.eps)

    e = "bert.embeddings"
    positions = w[f"{e}.position_embeddings.weight"][: len(ids)]
    x = w[f"{e}.word_embeddings.weight"][ids] + w[f"{e}.token_type_embeddings.weight"][types] + positions
    out["embeddings.sum"] = x
    x = out["embeddings.output"] = norm(e, x)
    for i in range(fixture.layers):
        layer, name = f"bert.encoder.layer.{i}", f"layer.{i}"
        q, k, v = (dense(f"{layer}.attention.self.{part}", x) for part in ("query", "key", "value"))
        out[f"{name}.qkv"] = torch.cat([q, k, v], dim=1)
        q, k, v = (t.unflatten(1, (heads, -1)).transpose(0, 1) for t in (q, k, v))  # [N, S, D]
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        context = out[f"{name}.context"] = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
        x = out[f"{name}.attention_sum"] = dense(f"{layer}.attention.output.dense", context) + x
        x = out[f"{name}.attention_output"] = norm(f"{layer}.attention.output", x)
        up = out[f"{name}.up"] = act(dense(f"{layer}.intermediate.dense", x))
        x = out[f"{name}.down_sum"] = dense(f"{layer}.output.dense", up) + x
        x = out[f"{name}.output"] = norm(f"{layer}.output", x)
    return out


def forward(w, fixture, ids, types):
    """The encoder and the head, [S, ·], pooled [1, H]."""
    out = encode(w, fixture, ids, types)
    x = out[f"layer.{fixture.layers - 1}.output"]
    if fixture.architecture == "BertModel":
        out["pooled"] = linear(x[:1], w["bert.pooler.dense.weight"], w["bert.pooler.dense.bias"]).tanh()
    else:
        out["logits"] = linear(x, w["qa_outputs.weight"], w["qa_outputs.bias"])
    return out


def batch(fixture):
    """(ids, types) a sequence; the first and last id and type occur."""
    random = torch.Generator().manual_seed(1000 + fixture.seed)
    total = sum(fixture.lengths)
    ids = torch.randint(fixture.vocab, (total,), generator=random)
    types = torch.randint(fixture.types, (total,), generator=random)
    ids[:2], types[:2] = torch.tensor([0, fixture.vocab - 1]), torch.tensor([fixture.types - 1, 0])
    return list(zip(ids.split(fixture.lengths), types.split(fixture.lengths)))


def packed(sequences):
    """The batch's tensors: I32 ids, types, positions [T], offsets [B+1]."""
    lengths = [len(ids) for ids, _ in sequences]
    inputs = {
        "ids": torch.cat([ids for ids, _ in sequences]),
        "types": torch.cat([types for _, types in sequences]),
        "positions": torch.cat([torch.arange(n) for n in lengths]),
        "offsets": torch.tensor([0, *lengths]).cumsum(0),
    }
    return {k: t.int() for k, t in inputs.items()}


def padded(sequences):
    """The batch as transformers takes it: ids, types, mask, [B, longest]."""
    ones = [torch.ones_like(ids) for ids, _ in sequences]
    return [pad_sequence(ts, batch_first=True) for ts in (*zip(*sequences), ones)]


@torch.no_grad()
def check(directory, fixture, sequences, expected):
    """transformers, in F32 on one padded batch, against the packed activations; returns the largest difference."""
    ids, types, mask = padded(sequences)
    theirs = load(directory)(input_ids=ids, token_type_ids=types, attention_mask=mask, output_hidden_states=True)
    hidden = [h[mask.bool()] for h in theirs.hidden_states]
    pairs = [(expected["embeddings.output"], hidden[0])]
    pairs += [(expected[f"layer.{i}.output"], hidden[i + 1]) for i in range(fixture.layers)]
    if fixture.architecture == "BertModel":
        pairs.append((expected["pooled"], theirs.pooler_output))
    else:
        pairs.append((expected["logits"], torch.stack([theirs.start_logits, theirs.end_logits], -1)[mask.bool()]))
    worst = max((a - b).abs().max().item() for a, b in pairs)
    assert worst < AGREE, f"{fixture.name}: transformers differs by {worst}"
    return worst


@torch.no_grad()
def write(fixture):
    directory = FIXTURES / "encoder" / fixture.name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    write_model(directory, fixture, random_weights(fixture))

    w = {k: t.double() for k, t in canonical(stored_tensors(directory)).items()}
    sequences = batch(fixture)
    parts = [forward(w, fixture, ids, types) for ids, types in sequences]
    expected = {name: torch.cat([p[name] for p in parts]).float() for name in parts[0]}
    worst = check(directory, fixture, sequences, expected)

    if fixture.keep:
        expected = {k: t for k, t in expected.items() if k.split(".")[-1] in ("logits", "pooled", *fixture.keep)}
    save_file(expected | packed(sequences), directory / "expected.safetensors")
    size = sum(f.stat().st_size for f in directory.iterdir())
    print(f"{fixture.name:18} {size:7} bytes, transformers within {worst:.1e}")


def write_activations():
    """Every named activation that has no parameters, in float64 on F32 points, far into both tails."""
    x = torch.cat([torch.linspace(-12, 12, 385), torch.tensor([-1e4, -200, -88.8, -0.0, 1e-8, -1e-8, 88.8, 200, 1e4])])
    values = {"x": x}
    for name in sorted(ACT2FN):
        if name not in ("prelu", "xielu"):
            values[name] = ACT2FN[name](x.double()).float()
    save_file(values, FIXTURES / "activations.safetensors")


if __name__ == "__main__":
    for fixture in ALL:
        write(fixture)
    write_activations()
