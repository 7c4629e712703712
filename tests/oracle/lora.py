"""Writes the fixtures of low-rank adapters: gradients as PEFT's, and the losses of ten steps.

    python tests/oracle/lora.py            # after gradients.py

Each `tests/fixtures/gradients/lora-NAME.safetensors` belongs to the model directory NAME, with what gradients.py says of its
own files, and

    start.PARAMETER   the matrices A and B of each adapter, from which all of it goes on

Only what is trained has gradients: A, B, the head with the pooler. The computation is that of gradients.py in float64, with
dropout of what goes into A by Cloze's choice. The script stops unless PEFT gives the same gradients without dropout, in F32.
"""

import numpy
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch.nn.functional import linear

from checkpoint import canonical, load, stored_tensors
from encoder import ALL, FIXTURES
from gradients import AGREE, Dropout, draw, gradients, theirs, train
from heads import ALL as HEADS

R, ALPHA = 4, 8
MODULES = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
]
# The model, where it lies, PEFT's target_modules, the dropout of what goes into A, modules_to_save.
CASES = [
    ("tiny", "encoder", ["query", "value"], 0.0, ["qa_outputs"]),
    ("classification", "heads", ["query", "key", "value", *MODULES[3:]], 0.25, ["classifier", "pooler"]),
]


class Adapters:
    def __init__(self, p):
        self.p = p

    def __call__(self, w, fixture, name, x, tokens, batch):
        a, b = (w.get(f"{name}.lora_{matrix}.weight") for matrix in "AB")
        if a is None:
            return 0
        _, _, _, layer, module = name.split(".", 4)
        site = 3 * fixture.layers + 2 + len(MODULES) * int(layer) + MODULES.index(module)
        if self.p > 0:
            x = Dropout(batch, self.p)(x, site, tokens)
        return ALPHA / R * linear(linear(x, a), b)


def adapted(directory, w, targets, save):
    """PEFT's model with the adapters in w."""
    config = LoraConfig(r=R, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=targets, modules_to_save=save)
    model = get_peft_model(load(directory), config)
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.data = w[plain(name)].detach().float()
    return model


def plain(name):
    return name.removeprefix("base_model.model.").replace(".modules_to_save.default", "").replace(".default", "")


def write(fixture, kind, targets, dropout, save):
    directory = FIXTURES / kind / fixture.name
    batch = {k: t.long() for k, t in load_file(directory / "expected.safetensors").items() if t.dtype == torch.int32}
    labels = draw(fixture, batch)
    w = {k: t.double() for k, t in canonical(stored_tensors(directory)).items()}
    random = torch.Generator().manual_seed(4000 + fixture.seed)
    start = {}
    for name in [k.removesuffix(".weight") for k in w if k.startswith("bert.encoder.layer.")]:
        if any(name.endswith(f".{target}") for target in targets):
            n, k = w[f"{name}.weight"].shape
            start[f"{name}.lora_A.weight"] = torch.randn(R, k, generator=random) / k**0.5
            start[f"{name}.lora_B.weight"] = torch.randn(n, R, generator=random) * 0.1
    w |= {k: t.double() for k, t in start.items()}
    for k, t in w.items():
        t.requires_grad_(k in start or any(f".{k}".find(f".{part}.") >= 0 for part in save))
    p, adapters = fixture.config().hidden_dropout_prob, Adapters(dropout)

    value, found = gradients(w, fixture, batch, labels, Dropout(None, p, adapters))
    known = {plain(k): g for k, g in theirs(adapted(directory, w, targets, save), fixture, batch, labels).items()}
    assert found.keys() == known.keys(), found.keys() ^ known.keys()
    worst = 0.0
    for name, g in found.items():
        error = ((known[name] - g).abs().max() / (g.abs().max() + 1e-3)).item()
        worst = max(worst, error)
        assert error < AGREE, f"{fixture.name}: {name} differs by {error}"
    _, dropped = gradients(w, fixture, batch, labels, Dropout(0, p, adapters))
    losses = train(w, fixture, batch, labels, p, adapters)
    out = {k: t.int() if t.dtype == torch.long else t.float() for k, t in labels.items()}
    out |= {f"g.{k}": t.float() for k, t in found.items()} | {f"d.{k}": t.float() for k, t in dropped.items()}
    out |= {f"start.{k}": t for k, t in start.items()}
    out |= {"loss": torch.tensor([value]), "losses": torch.tensor(losses)}
    file = FIXTURES / "gradients" / f"lora-{fixture.name}.safetensors"
    save_file(out, file)
    print(f"{fixture.name:21} {file.stat().st_size:7} bytes, PEFT within {worst:.1e}, {losses[0]:.3f} to {losses[-1]:.3f}")


if __name__ == "__main__":
    numpy.seterr(over="ignore")
    models = {fixture.name: fixture for fixture in [*ALL, *HEADS]}
    for name, *rest in CASES:
        write(models[name], *rest)
