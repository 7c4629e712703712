"""Writes the heads' fixtures: a small random BERT for every head, and what PyTorch computes with it.

    python tests/oracle/heads.py            # into tests/fixtures/heads, the same bytes every time

Each `tests/fixtures/heads/NAME/` is a Hugging Face model directory, and `expected.safetensors` has a packed batch as
encoder.py describes it (`ids`, `types`, `positions`, `offsets`) and the head's output, F32:

    pooled                   [B, H] tanh(dense(x[0]))   mean, max, mean_sqrt_len, cls  [B, H] over all tokens, not normalised
    prediction_logits        [P, V] LayerNorm(act(dense(x))) D' + bias of the tokens `picked` I32 [P], ascending indexes into
                             the batch; D is the word embeddings, or the head's own decoder
    seq_relationship_logits  [B, 2] of pooled
    logits                   [B, L] of pooled for a sequence's class, [T, L] of x for a token's; [B, 1] for multiple choice,
                             where each choice is a sequence

computed as encoder.py does, in float64 from the stored weights; the script stops unless transformers' own class agrees, in
F32 on one padded batch.
"""

import shutil
from dataclasses import dataclass

import torch
from safetensors.torch import save_file
from torch.nn.functional import layer_norm, linear
from transformers.activations import ACT2FN

from checkpoint import canonical, load, stored_tensors
from encoder import AGREE, FIXTURES, Fixture, batch, encode, encoder_weights, packed, padded, write_model

POOLED = (
    "BertModel",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForSequenceClassification",
    "BertForMultipleChoice",
)
PREDICTS = ("BertForMaskedLM", "BertForPreTraining")
RELATES = ("BertForNextSentencePrediction", "BertForPreTraining")
CLASSIFIES = ("BertForSequenceClassification", "BertForTokenClassification", "BertForMultipleChoice")


@dataclass
class Head(Fixture):
    """`decoder`: the word embeddings alone (tied), stored twice (copied), or another matrix (untied)."""

    hidden: int = 24
    layers: int = 1
    labels: tuple = ()
    problem: str = ""
    decoder: str = "tied"

    def config(self):
        config = super().config()
        if self.labels:
            config.id2label = dict(enumerate(self.labels))
            config.label2id = {label: i for i, label in enumerate(self.labels)}
        if self.problem:
            config.problem_type = self.problem
        config.tie_word_embeddings = self.decoder != "untied"
        return config


def classifier(name, seed, architecture, labels=(), problem="", **other):
    return Head(name, seed, architecture=architecture, labels=labels, problem=problem, **other)


NARROW = dict(hidden=20, heads=5, feed_forward=33, vocab=103, layers=3)  # D 4
TRIPLE = dict(hidden=36, heads=3, feed_forward=50, types=3)  # D 12
ODD = dict(hidden=30, heads=6, feed_forward=41)  # D 5
MOODS = ("negative", "neutral", "positive")
TOPICS = ("sport", "art", "science", "food")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
ALL = [
    Head("pooler", 21, architecture="BertModel", **ODD),
    Head("masked-lm", 22, architecture="BertForMaskedLM", **NARROW),
    Head("masked-lm-untied", 23, architecture="BertForMaskedLM", decoder="untied", activation="relu"),
    Head("masked-lm-i8", 24, architecture="BertForMaskedLM", store="i8"),
    Head("next-sentence", 25, architecture="BertForNextSentencePrediction"),
    Head("pre-training", 26, architecture="BertForPreTraining", decoder="copied", eps=1e-3),
    classifier("classification", 27, "BertForSequenceClassification", MOODS, activation="gelu_new", **TRIPLE),
    classifier("regression", 28, "BertForSequenceClassification", ("stars",), "regression"),
    classifier("multi-label", 29, "BertForSequenceClassification", TOPICS, "multi_label_classification"),
    classifier("token-classification", 30, "BertForTokenClassification", TAGS),
    classifier("multiple-choice", 31, "BertForMultipleChoice"),
]


def head_weights(fixture):
    w, h, kind = encoder_weights(fixture), fixture.hidden, fixture.architecture
    if kind in POOLED:
        w.dense("bert.pooler.dense", h, h)
    if kind in PREDICTS:
        p = "cls.predictions"
        w.dense(f"{p}.transform.dense", h, h)
        w.norm(f"{p}.transform", h)
        w.normal(f"{p}.bias", fixture.vocab, std=0.3)
        if fixture.decoder == "untied":
            w.normal(f"{p}.decoder.weight", fixture.vocab, h, std=0.5)
        if fixture.decoder == "copied":
            w[f"{p}.decoder.weight"] = w["bert.embeddings.word_embeddings.weight"].clone()
        if fixture.decoder != "tied":
            w[f"{p}.decoder.bias"] = w[f"{p}.bias"].clone()
    if kind in RELATES:
        w.dense("cls.seq_relationship", 2, h)
    if kind in CLASSIFIES:
        w.dense("classifier", 1 if kind == "BertForMultipleChoice" else fixture.config().num_labels, h)
    return w


def head(w, fixture, x):
    """What the head makes of the encoder's output [S, H]; the predictions of every token."""
    out, kind = {}, fixture.architecture

    def dense(name, x):
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    pooled = dense("bert.pooler.dense", x[:1]).tanh() if kind in POOLED else None
    if kind == "BertModel":
        out["pooled"], out["cls"] = pooled, x[:1]
        out["mean"], out["max"] = x.mean(0, keepdim=True), x.amax(0, keepdim=True)
        out["mean_sqrt_len"] = x.sum(0, keepdim=True) / len(x) ** 0.5
    if kind in PREDICTS:
        p = "cls.predictions"
        norm = [w[f"{p}.transform.LayerNorm.{part}"] for part in ("weight", "bias")]
        act = ACT2FN[fixture.activation]
        y = layer_norm(act(dense(f"{p}.transform.dense", x)), x.shape[-1:], *norm, fixture.eps)
        decoder = f"{p}.decoder" if fixture.decoder == "untied" else "bert.embeddings.word_embeddings"
        out["prediction_logits"] = linear(y, w[f"{decoder}.weight"], w[f"{p}.bias"])
    if kind in RELATES:
        out["seq_relationship_logits"] = dense("cls.seq_relationship", pooled)
    if kind in CLASSIFIES:
        out["logits"] = dense("classifier", x if kind == "BertForTokenClassification" else pooled)
    return out


def theirs(directory, fixture, sequences):
    """The same from transformers, in F32 on one padded batch."""
    ids, types, mask = padded(sequences)
    model, kind = load(directory), fixture.architecture
    inputs = dict(input_ids=ids, token_type_ids=types, attention_mask=mask)
    if kind == "BertForMultipleChoice":
        # One question whose choices are all the sequences.
        return {"logits": model(**{k: t[None] for k, t in inputs.items()}).logits.T}
    found = model(**inputs)
    if kind == "BertModel":
        x, mask = found.last_hidden_state, mask[:, :, None]
        n = mask.sum(1)
        return {
            "pooled": found.pooler_output,
            "cls": x[:, 0],
            "mean": (x * mask).sum(1) / n,
            "max": x.masked_fill(mask == 0, -1e9).amax(1),
            "mean_sqrt_len": (x * mask).sum(1) / n.sqrt(),
        }
    if kind == "BertForPreTraining":
        predictions = found.prediction_logits[mask.bool()]
        return {"prediction_logits": predictions, "seq_relationship_logits": found.seq_relationship_logits}
    if kind == "BertForMaskedLM":
        return {"prediction_logits": found.logits[mask.bool()]}
    if kind == "BertForNextSentencePrediction":
        return {"seq_relationship_logits": found.logits}
    return {"logits": found.logits[mask.bool()] if kind == "BertForTokenClassification" else found.logits}


def pick(fixture):
    """About half of the tokens: none of the second and fifth sequence, all of the fourth, the last token of all."""
    random = torch.Generator().manual_seed(2000 + fixture.seed)
    total = sum(fixture.lengths)
    sequence = torch.repeat_interleave(torch.arange(len(fixture.lengths)), torch.tensor(fixture.lengths))
    picked = torch.rand(total, generator=random) < 0.5
    picked[(sequence == 1) | (sequence == 4)] = False
    picked[sequence == 3] = True
    picked[-1] = True
    return picked.nonzero()[:, 0]


@torch.no_grad()
def write(fixture):
    directory = FIXTURES / "heads" / fixture.name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    write_model(directory, fixture, head_weights(fixture))

    w = {k: t.double() for k, t in canonical(stored_tensors(directory)).items()}
    sequences = batch(fixture)
    last = f"layer.{fixture.layers - 1}.output"
    parts = [head(w, fixture, encode(w, fixture, ids, types)[last]) for ids, types in sequences]
    expected = {name: torch.cat([p[name] for p in parts]).float() for name in parts[0]}
    found = theirs(directory, fixture, sequences)
    assert found.keys() == expected.keys()
    worst = max((expected[k] - found[k]).abs().max().item() for k in expected)
    assert worst < AGREE, f"{fixture.name}: transformers differs by {worst}"

    if fixture.architecture in PREDICTS:
        picked = pick(fixture)
        expected["prediction_logits"] = expected["prediction_logits"][picked]
        expected["picked"] = picked.int()
    save_file(expected | packed(sequences), directory / "expected.safetensors")
    size = sum(f.stat().st_size for f in directory.iterdir())
    shapes = {k: tuple(t.shape) for k, t in expected.items()}
    print(f"{fixture.name:21} {size:6} bytes, transformers within {worst:.1e}, {shapes}")


if __name__ == "__main__":
    for fixture in ALL:
        write(fixture)
