"""Writes the losses of ten steps with adapters that begin as the seed says.

    python tests/oracle/lora_losses.py            # after lora.py, whose models and computation these are

`tests/fixtures/train/lora-losses.json` has PyTorch's losses by the name of the model. A is uniform by Cloze's choice, B is
zero: so who trains, natively or in a page, needs no tensors to begin from.
"""

import json

import numpy
import torch
from safetensors.torch import load_file

from checkpoint import canonical, stored_tensors
from encoder import ALL, FIXTURES
from gradients import SEED, draw, mix, train
from heads import ALL as HEADS
from lora import CASES, R, Adapters


def uniform(name, rows, cols):
    key = mix(numpy.uint32(SEED & 0xFFFFFFFF) ^ mix(numpy.uint32(SEED >> 32)))
    for byte in name.encode():
        key = mix(key ^ numpy.uint32(byte))
    bits = mix(mix(numpy.arange(rows * cols, dtype=numpy.uint32) + key) ^ key)
    unit = (bits.astype(numpy.float64) + 1) / 2**32
    values = (2 * unit - 1).astype(numpy.float32) * (numpy.float32(1) / numpy.sqrt(numpy.float32(cols)))
    return torch.tensor(values.reshape(rows, cols)).double()


def losses(fixture, kind, targets, dropout, save):
    directory = FIXTURES / kind / fixture.name
    batch = {k: t.long() for k, t in load_file(directory / "expected.safetensors").items() if t.dtype == torch.int32}
    labels = draw(fixture, batch)
    w = {k: t.double() for k, t in canonical(stored_tensors(directory)).items()}
    adapted = [k.removesuffix(".weight") for k in w if k.startswith("bert.encoder.layer.")]
    adapted = [k for k in adapted if any(k.endswith(f".{target}") for target in targets)]
    for name in adapted:
        n, k = w[f"{name}.weight"].shape
        w[f"{name}.lora_A.weight"] = uniform(f"{name}.lora_A.weight", R, k)
        w[f"{name}.lora_B.weight"] = torch.zeros(n, R).double()
    for k, t in w.items():
        t.requires_grad_(".lora_" in k or any(f".{part}." in f".{k}" for part in save))
    return train(w, fixture, batch, labels, fixture.config().hidden_dropout_prob, Adapters(dropout))


if __name__ == "__main__":
    numpy.seterr(over="ignore")
    models = {fixture.name: fixture for fixture in [*ALL, *HEADS]}
    found = {name: losses(models[name], *rest) for name, *rest in CASES}
    file = FIXTURES / "train" / "lora-losses.json"
    file.write_text(json.dumps({name: [round(x, 6) for x in all] for name, all in found.items()}) + "\n")
    print({name: [round(all[0], 3), round(all[-1], 3)] for name, all in found.items()})
