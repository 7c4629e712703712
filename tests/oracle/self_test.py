"""Writes src/self_test/expected.rs: the logits that PyTorch computes with the self-test's model.

    python tests/oracle/self_test.py

The model's weights come from the integer hash of src/self_test/weights.rs, so there is no file to share: `element` below is
that formula, written a second time. Three models differ in their number of heads alone. transformers runs each sequence
alone in float64. Needs the packages of encoder.py.
"""

from pathlib import Path

import torch
from transformers import BertConfig, BertForQuestionAnswering

OUT = Path(__file__).parent.parent.parent / "src" / "self_test" / "expected.rs"
VOCAB = 97
LENGTHS = (7, 1, 69)
HEADS = (2, 1, 4)
MASK = 0xFFFFFFFF


def element(name, i):
    """Element `i` of the tensor `name`, in units of its row's scale: 1/256, 1/512 or 1/1024."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & MASK
    x = (seed + i * 0x9E3779B9) & MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    x ^= x >> 16
    return x % 255 - 127


def model(heads):
    config = BertConfig(
        hidden_size=64, num_attention_heads=heads, num_hidden_layers=2, intermediate_size=100, vocab_size=VOCAB,
        max_position_embeddings=80, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12,
        attn_implementation="eager",
    )  # fmt: skip
    bert = BertForQuestionAnswering(config).double().eval()
    state = {}
    for name, t in bert.state_dict().items():
        around = 1 if name.endswith("LayerNorm.weight") else 0
        cols = t.shape[-1]
        values = [around + element(name, i) / (256 << i // cols % 3) for i in range(t.numel())]
        state[name] = torch.tensor(values, dtype=torch.float64).reshape(t.shape)
    bert.load_state_dict(state, strict=True)
    return bert


def batch():
    """Ids and types of each sequence: token t of the packed batch is number 31 t + 5, the halves of a sequence differ in type."""
    at = 0
    for length in LENGTHS:
        ids = [(31 * t + 5) % VOCAB for t in range(at, at + length)]
        yield torch.tensor([ids]), torch.tensor([[int(i >= length // 2) for i in range(length)]])
        at += length


@torch.no_grad()
def logits(bert):
    """[T, 2], start and end."""
    rows = []
    for ids, types in batch():
        out = bert(input_ids=ids, token_type_ids=types)
        rows.append(torch.stack([out.start_logits[0], out.end_logits[0]], dim=1))
    return torch.cat(rows).flatten().tolist()


def main():
    lines = ["//! Logits `[T, 2]` from PyTorch, for 2, 1 and 4 heads. Written by tests/oracle/self_test.py.", ""]
    size = 2 * sum(LENGTHS)
    lines.append(f"pub(super) static LOGITS: [[f32; {size}]; {len(HEADS)}] = [")
    for heads in HEADS:
        numbers = [f"{x:.5f}" for x in logits(model(heads))]
        lines.append("    [")
        line = "       "
        for number in numbers:
            if len(line) + len(number) + 2 >= 120:  # as rustfmt breaks lines
                lines.append(line)
                line = "       "
            line += f" {number},"
        lines += [line, "    ],"]
    lines.append("];")
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
