"""Weight files written tensor by tensor, so that writing a large model holds no second copy of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .atomic import sync
from .verify import NAMES


def write_safetensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """``state`` as a new safetensors file; wide types first and then by name, so that every tensor lies aligned."""
    order = sorted(state, key=lambda name: (-state[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in order:
        tensor = state[name]
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, start + tensor.nbytes],
        }
        start += tensor.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            if state[name].numel():
                file.write(state[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        sync(file)


def write_pth(path: Path, state: Mapping[str, Tensor], key: str | None = None) -> None:
    """``state`` as a new PyTorch file of plain tensors, under ``key`` if given."""
    tensors = {name: _own(tensor) for name, tensor in state.items()}
    with open(path, "xb") as file:
        torch.save({key: tensors} if key else tensors, file)
        sync(file)


def _own(tensor: Tensor) -> Tensor:
    """``tensor`` in a storage that holds nothing else; of a part, PyTorch would save the whole."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
