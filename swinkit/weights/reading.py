"""Tensors out of a file of any origin, without running anything in it.

``.safetensors`` has no code; its header is checked byte by byte. Everything else is taken for a PyTorch file, whose pickle a process
of its own reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import WeightsError
from .safety import check_link, check_pointer, check_safetensors
from .unpickling import unpickle_apart

PYTORCH = (b"PK", b"\x80")  # a zip archive, and the pickle before there was one
WRAPPERS = ("module.", "_orig_mod.", "model.")  # put before every name by DDP and averaging, torch.compile, Lightning
COUNTER = "n_averaged"  # what torch.optim.swa_utils saves beside the weights that it averaged


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict in a file, mapped into memory where its format allows, and what stands beside it (plain values only).

    Raises :class:`WeightsError` for a file that is damaged, that would need code to be read, or that holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path} is no file. Mend: check the path")
    try:
        check_pointer(path)
        state, beside = _read_safetensors(path) if _is_safetensors(path) else _unpickle(path)
    except OSError as fault:
        raise WeightsError(
            f"{path} cannot be read: {fault.strerror or fault}. Mend: check the file and its permissions"
        ) from None
    return state, beside


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` without what wrappers of a model, in whatever order, put before all of its names."""
    state = {name: tensor for name, tensor in state.items() if name != COUNTER}
    while state and (wrapper := next((one for one in WRAPPERS if all(name.startswith(one) for name in state)), None)):
        state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
    return state


def _is_safetensors(path: Path) -> bool:
    if path.suffix == ".safetensors":
        return True
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def _unpickle(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with open(path, "rb") as file:
        head = file.read(2)
    if head and not head.startswith(PYTORCH):
        raise WeightsError(
            f"{path} is no file of weights: it begins neither like safetensors nor like a PyTorch file (.pth, .pt, .bin). Mend: check "
            "the name; if it was one, copy or download it again"
        )
    return unpickle_apart(path)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    check_link(path)
    check_safetensors(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            beside = dict(file.metadata() or {})
    except SafetensorError as fault:
        raise WeightsError(f"{path} is not a whole safetensors file ({fault}). Mend: copy or download it again") from None
    if not state:
        raise WeightsError(f"{path} holds no tensors. Mend: name the file with the weights")
    return state, beside
