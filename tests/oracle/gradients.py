"""Writes the training fixtures: PyTorch's gradients of every parameter of the small models, and the losses of ten steps.

    python tests/oracle/gradients.py            # after encoder.py and heads.py, whose models and batches it takes

Each `tests/fixtures/gradients/NAME.safetensors` belongs to the model directory of that name and its packed batch:

    labels            I32: classes [B], [T] or [P], -1 for none; spans [B, 2]; F32 targets [B, L]
    next              I32 [B], of pre-training
    g.PARAMETER       the gradient of the mean loss without dropout
    d.PARAMETER       the same with dropout, of batch 0 and seed SEED
    losses            F32 [10]: of ten AdamW steps on the same batch with dropout, linear warm-up and decay, clipping, decay
                      on matrices alone
    loss              F32 [1], without dropout

Dropout's choice is Cloze's: a hash of the step's key, the place, row and column (`src/device/cpu/train/random.rs`), here in
numpy. All is computed in float64 from the stored weights by autograd over the formulas below. The script stops unless
transformers itself gives the same gradients without dropout, in F32.
"""

import math

import numpy
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, embedding, layer_norm, linear, mse_loss
from torch.nn.utils.rnn import pad_sequence
from transformers.activations import ACT2FN

from checkpoint import canonical, load, stored_tensors
from encoder import ALL, FIXTURES
from heads import ALL as HEADS
from heads import POOLED, PREDICTS

SEED, STEPS, WARMUP, RATE, DECAY = 11, 10, 2, 2e-3, 0.01
AGREE = 1e-4  # F32 against float64, relative to a tensor's largest gradient


def mix(x):
    x = numpy.asarray(x, numpy.uint32)
    x = (x ^ (x >> 16)) * numpy.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * numpy.uint32(0x846CA68B)
    return x ^ (x >> 16)


def step_key(batch):
    return mix(mix(mix(SEED) ^ numpy.uint32(SEED >> 32)) ^ numpy.uint32(batch))


class Dropout:
    """Cloze's choice in one batch; none at all where the batch is None."""

    def __init__(self, batch, p, adapters=None):
        """`adapters` are those of the encoder's layers, if any: see lora.py."""
        self.batch, self.p, self.adapters = batch, numpy.float32(p), adapters

    def __call__(self, x, site, rows):
        """x [R, C], whose rows have these numbers."""
        if self.batch is None:
            return x
        key = mix(step_key(self.batch) ^ mix(numpy.uint32(site) + numpy.uint32(0x9E3779B9)))
        base = mix(numpy.asarray(rows, numpy.uint32) + key) ^ key
        hashes = mix(base[:, None] + numpy.arange(x.shape[1], dtype=numpy.uint32))
        kept = torch.from_numpy(hashes >= numpy.uint32(int(float(self.p) * 2**32)))
        return x * kept * float(numpy.float32(1) / (numpy.float32(1) - self.p))


def encode(w, fixture, ids, types, first, drop):
    """The last hidden state [S, H] of the sequence that begins at token `first` of the batch."""
    heads, tokens = fixture.heads, numpy.arange(first, first + len(ids))

    def dense(name, x):
        y = linear(x, w[f"{name}.weight"], w[f"{name}.bias"])
        return y + drop.adapters(w, fixture, name, x, tokens, drop.batch) if drop.adapters else y

    def norm(name, x):
        return layer_norm(x, x.shape[-1:], w[f"{name}.LayerNorm.weight"], w[f"{name}.LayerNorm.bias"], fixture.eps)

    e = "bert.embeddings"
    positions = w[f"{e}.position_embeddings.weight"][: len(ids)]
    # transformers' table has no gradient where it is read for padding.
    words = embedding(ids, w[f"{e}.word_embeddings.weight"], padding_idx=fixture.config().pad_token_id)
    x = words + w[f"{e}.token_type_embeddings.weight"][types] + positions
    x = drop(norm(e, x), 0, tokens)
    for i in range(fixture.layers):
        layer, site = f"bert.encoder.layer.{i}", 3 * i + 1
        q, k, v = (dense(f"{layer}.attention.self.{part}", x) for part in ("query", "key", "value"))
        q, k, v = (t.unflatten(1, (heads, -1)).transpose(0, 1) for t in (q, k, v))  # [N, S, D]
        p = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(-1)
        p = torch.stack([drop(p[h], site, tokens * heads + h) for h in range(heads)])
        context = (p @ v).transpose(0, 1).flatten(1)
        x = norm(f"{layer}.attention.output", drop(dense(f"{layer}.attention.output.dense", context), site + 1, tokens) + x)
        up = ACT2FN[fixture.activation](dense(f"{layer}.intermediate.dense", x))
        x = norm(f"{layer}.output", drop(dense(f"{layer}.output.dense", up), site + 2, tokens) + x)
    return x


def loss(w, fixture, batch, labels, drop):
    kind, site = fixture.architecture, 3 * fixture.layers + 1
    bounds = batch["offsets"].tolist()

    def dense(name, x):
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    ranges = list(zip(bounds, bounds[1:]))
    x = [encode(w, fixture, batch["ids"][a:b], batch["types"][a:b], a, drop) for a, b in ranges]
    if kind == "BertForQuestionAnswering":
        logits = [dense("qa_outputs", x) for x in x]
        ends = [sum(cross_entropy(z.T, y, reduction="none")) / 2 for z, y in zip(logits, labels["labels"])]
        return sum(ends) / len(ends)
    total = 0
    if kind in PREDICTS:
        p = "cls.predictions"
        y = torch.cat(x)[batch["picked"]]
        y = ACT2FN[fixture.activation](dense(f"{p}.transform.dense", y))
        norm = [w[f"{p}.transform.LayerNorm.{part}"] for part in ("weight", "bias")]
        y = layer_norm(y, y.shape[-1:], *norm, fixture.eps)
        decoder = f"{p}.decoder" if fixture.decoder == "untied" else "bert.embeddings.word_embeddings"
        logits = linear(y, w[f"{decoder}.weight"], w[f"{p}.bias"])
        total = total + cross_entropy(logits, labels["labels"], ignore_index=-1)
    if kind in POOLED:
        pooled = dense("bert.pooler.dense", torch.stack([x[0] for x in x])).tanh()
        if kind == "BertForSequenceClassification":
            logits = dense("classifier", drop(pooled, site, range(len(pooled))))
            losses = {"multi_label_classification": binary_cross_entropy_with_logits, "regression": mse_loss}
            return losses.get(fixture.problem, cross_entropy)(logits, labels["labels"])
        relation = labels["next"] if kind == "BertForPreTraining" else labels["labels"]
        total = total + cross_entropy(dense("cls.seq_relationship", pooled), relation)
    if kind == "BertForTokenClassification":
        x = torch.cat(x)
        total = cross_entropy(dense("classifier", drop(x, site, range(len(x)))), labels["labels"], ignore_index=-1)
    return total


def draw(fixture, batch):
    """Labels; of tokens and words, some are none."""
    random = torch.Generator().manual_seed(3000 + fixture.seed)
    lengths = batch["offsets"].diff()
    count = len(lengths)

    def classes(n, rows, none=True):
        labels = torch.randint(n, (rows,), generator=random)
        if none:
            labels[1::4] = -1
        return labels

    match fixture.architecture:
        case "BertForQuestionAnswering":
            ends = (torch.rand(count, 2, generator=random) * lengths[:, None]).long()
            return {"labels": ends.sort(dim=1).values}
        case "BertForSequenceClassification" if fixture.problem == "multi_label_classification":
            return {"labels": (torch.rand(count, len(fixture.labels), generator=random) < 0.5).double()}
        case "BertForSequenceClassification" if fixture.problem == "regression":
            return {"labels": torch.randn(count, 1, generator=random).double()}
        case "BertForSequenceClassification":
            return {"labels": classes(len(fixture.labels), count, none=False)}
        case "BertForTokenClassification":
            return {"labels": classes(len(fixture.labels), len(batch["ids"]))}
        case "BertForMaskedLM":
            return {"labels": classes(fixture.vocab, len(batch["picked"]))}
        case "BertForNextSentencePrediction":
            return {"labels": classes(2, count, none=False)}
        case "BertForPreTraining":
            return {"labels": classes(fixture.vocab, len(batch["picked"])), "next": classes(2, count, none=False)}


def theirs(model, fixture, batch, labels):
    """transformers' gradients without dropout, in F32; padded, but for question answering, whose loss knows no padding."""
    kind = fixture.architecture
    lengths = batch["offsets"].diff().tolist()
    split = {k: batch[k].split(lengths) for k in ("ids", "types")}
    if kind == "BertForQuestionAnswering":
        for ids, types, (start, end) in zip(split["ids"], split["types"], labels["labels"]):
            found = model(ids[None], token_type_ids=types[None], start_positions=start[None], end_positions=end[None])
            (found.loss / len(lengths)).backward()
    else:
        pad = {k: pad_sequence(t, batch_first=True) for k, t in split.items()}
        mask = pad_sequence([torch.ones(n, dtype=torch.long) for n in lengths], batch_first=True)
        given = {"labels": labels["labels"]}
        if kind == "BertForTokenClassification":
            given["labels"] = torch.full(mask.shape, -100)
            given["labels"][mask.bool()] = torch.where(labels["labels"] < 0, -100, labels["labels"])
        if kind in PREDICTS:
            flat = torch.full((len(batch["ids"]),), -100)
            flat[batch["picked"]] = torch.where(labels["labels"] < 0, -100, labels["labels"])
            given["labels"] = torch.full(mask.shape, -100)
            given["labels"][mask.bool()] = flat
        if kind == "BertForPreTraining":
            given["next_sentence_label"] = labels["next"]
        if given["labels"].dtype == torch.double:
            given["labels"] = given["labels"].float()
        model(pad["ids"], token_type_ids=pad["types"], attention_mask=mask, **given).loss.backward()
    return {k: p.grad for k, p in model.named_parameters() if p.grad is not None}


def gradients(w, fixture, batch, labels, drop):
    for t in w.values():
        t.grad = None
    value = loss(w, fixture, batch, labels, drop)
    value.backward()
    return value.item(), {k: t.grad.clone() for k, t in w.items() if t.grad is not None}


def train(w, fixture, batch, labels, p, adapters=None):
    decays = [t for k, t in w.items() if not k.endswith(".bias") and "LayerNorm" not in k]
    others = [t for k, t in w.items() if k.endswith(".bias") or "LayerNorm" in k]
    groups = [{"params": decays, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    losses = []
    for step in range(STEPS):
        share = step / WARMUP if step < WARMUP else (STEPS - step) / (STEPS - WARMUP)
        for group in optimizer.param_groups:
            group["lr"] = RATE * share
        losses.append(gradients(w, fixture, batch, labels, Dropout(step, p, adapters))[0])
        torch.nn.utils.clip_grad_norm_([t for t in w.values() if t.grad is not None], 1.0)
        optimizer.step()
    return losses


def write(fixture, kind):
    directory = FIXTURES / kind / fixture.name
    batch = {k: t.long() for k, t in load_file(directory / "expected.safetensors").items() if t.dtype == torch.int32}
    labels = draw(fixture, batch)
    w = {k: t.double() for k, t in canonical(stored_tensors(directory)).items()}
    if kind == "heads" and fixture.architecture in PREDICTS:
        w.pop("cls.predictions.decoder.bias", None)
        if fixture.decoder == "copied":
            w.pop("cls.predictions.decoder.weight")
    w = {k: t.requires_grad_() for k, t in w.items()}
    p = fixture.config().hidden_dropout_prob

    value, plain = gradients(w, fixture, batch, labels, Dropout(None, p))
    known, worst = theirs(load(directory), fixture, batch, labels), 0.0
    for name, g in plain.items():
        error = ((known[name] - g).abs().max() / (g.abs().max() + 1e-3)).item()
        worst = max(worst, error)
        assert error < AGREE, f"{fixture.name}: {name} differs by {error}"
    _, dropped = gradients(w, fixture, batch, labels, Dropout(0, p))
    losses = train(w, fixture, batch, labels, p)
    out = {k: t.int() if t.dtype == torch.long else t.float() for k, t in labels.items()}
    out |= {f"g.{k}": t.float() for k, t in plain.items()} | {f"d.{k}": t.float() for k, t in dropped.items()}
    out |= {"loss": torch.tensor([value]), "losses": torch.tensor(losses)}
    file = FIXTURES / "gradients" / f"{fixture.name}.safetensors"
    file.parent.mkdir(exist_ok=True)
    save_file({k: t.float() if t.dtype == torch.double else t for k, t in out.items()}, file)
    print(f"{fixture.name:21} {file.stat().st_size:7} bytes, transformers within {worst:.1e}, {losses[0]:.3f} to {losses[-1]:.3f}")


if __name__ == "__main__":
    numpy.seterr(over="ignore")
    for fixture in ALL:
        if fixture.name == "tiny":
            write(fixture, "encoder")
    for fixture in HEADS:
        if fixture.name not in ("pooler", "masked-lm-i8", "multiple-choice"):
            write(fixture, "heads")
