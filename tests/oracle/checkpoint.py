"""Opens any model directory that Cloze opens as a transformers model in F32: also what transformers itself cannot read,
8-bit weights (`NAME` I8 [rows, cols] with `NAME.scale` F32 [rows]) and a head beside names without `bert.`."""

import json

import torch
import transformers
from safetensors.torch import load_file

HEADS = ("qa_outputs.", "classifier.", "cls.")


def stored_tensors(directory):
    """Every tensor by the name and type it has in the file or the shards."""
    index = directory / "model.safetensors.index.json"
    files = {"model.safetensors"}
    if index.exists():
        files = set(json.loads(index.read_text())["weight_map"].values())
    return {name: t for file in sorted(files) for name, t in load_file(directory / file).items()}


def canonical(stored):
    """F32 tensors under today's names, with the `bert.` prefix: widened, dequantised."""
    out = {}
    for name, t in stored.items():
        if name.endswith((".scale", "position_ids")):
            continue
        t = t.float() * stored[name + ".scale"][:, None] if t.dtype == torch.int8 else t.float()
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if not name.startswith(("bert.", *HEADS)):
            name = "bert." + name
        out[name] = t
    return out


def load(directory):
    """The model that config.json names, F32, eager attention, no dropout."""
    config = transformers.BertConfig.from_pretrained(directory)
    config._attn_implementation = "eager"
    [name] = config.architectures
    model = getattr(transformers, name)(config)
    state = canonical(stored_tensors(directory))
    if name == "BertModel":
        state = {k.removeprefix("bert."): t for k, t in state.items()}
    # What a file leaves out because it is tied.
    decoder = {"decoder.weight": "bert.embeddings.word_embeddings.weight", "decoder.bias": "cls.predictions.bias"}
    for part, same in decoder.items():
        if f"cls.predictions.{part}" in model.state_dict() and (config.tie_word_embeddings or part == "decoder.bias"):
            state.setdefault(f"cls.predictions.{part}", state[same])
    model.load_state_dict(state, strict=True)
    return model.float().eval()
