"""Writes files of `torch.save`, and the same tensors as safetensors.

    python tests/oracle/torch_files.py                    # into tests/fixtures/torch

`zip.bin` is what torch.save writes today, `old.bin` what it wrote before 1.6; `tensors.safetensors` has the values of both.
`code.bin` runs a program when Python loads it. `nested.bin` is a checkpoint of training.
"""

import os
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).parent.parent / "fixtures" / "torch"


class Program:
    def __reduce__(self):
        return os.system, ("echo a pickle ran a program",)


def tensors():
    random = torch.Generator().manual_seed(71)
    whole = torch.randn(6, 5, generator=random)
    found = OrderedDict(
        whole=whole,
        tied=whole,
        transposed=whole.t(),
        rows=whole[2:4],
        columns=whole[:, 1:4],
        every_other=whole[::2, ::3],
        repeated=whole[0, :3].expand(2, 3),
        one_row=whole[1:2].t(),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 4),
        parameter=torch.nn.Parameter(torch.randn(3, generator=random)),
        double=torch.randn(2, 2, generator=random, dtype=torch.float64),
        half=torch.randn(4, generator=random).half(),
        bfloat=torch.randn(4, generator=random).bfloat16(),
        position_ids=torch.arange(6).expand(1, -1),
        mask=torch.tensor([True, False, True]),
        bytes=torch.tensor([1, 2, 250], dtype=torch.uint8),
        small=torch.tensor([-3, 4], dtype=torch.int8),
        shorts=torch.tensor([-300, 400], dtype=torch.int16),
        ints=torch.tensor([-70000, 5], dtype=torch.int32),
    )
    # As a module's state_dict has it, beside the tensors.
    found._metadata = OrderedDict({"": {"version": 1}})
    return found


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    state = tensors()
    torch.save(state, OUT / "zip.bin")
    torch.save(dict(state), OUT / "zip4.bin", pickle_protocol=4)
    torch.save(state, OUT / "old.bin", _use_new_zipfile_serialization=False)
    torch.save(OrderedDict(a=torch.ones(2), b=Program()), OUT / "code.bin")
    torch.save({"state_dict": state, "step": 7}, OUT / "nested.bin")
    save_file({k: t.detach().contiguous().clone() for k, t in state.items()}, OUT / "tensors.safetensors")
    for path in sorted(OUT.iterdir()):
        print(path.name, path.stat().st_size)
