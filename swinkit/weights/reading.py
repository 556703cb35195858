"""Tensors out of a file of any origin, without running anything in it.

``.safetensors`` has no code. Everything else is read by torch's restricted unpickler, with no way around it; of the classes that old
training scripts left in their checkpoints (yacs, argparse, mmengine) only a plain dict is made.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import WeightsError

STATES = ("model", "state_dict", "model_state_dict", "module", "net")  # where training scripts put the weights of a checkpoint
WRAPPERS = ("module.", "_orig_mod.", "model.")  # put before every name by DDP, torch.compile and Lightning
INERT = ("yacs.config.CfgNode", "argparse.Namespace", "mmengine.logging.history_buffer.HistoryBuffer")


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict in a file, mapped into memory where its format allows, and what stands beside it (plain values only).

    Raises :class:`WeightsError` for a file that is damaged, that would need code to be read, or that holds no tensors.
    """
    path = Path(path)
    content, beside = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    state = {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    if not state:
        raise WeightsError(f"{path} holds no tensors by name; it has {', '.join(map(str, list(content)[:8])) or 'nothing'}")
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in state):
            state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
    return state, beside


def _is_safetensors(path: Path) -> bool:
    if path.suffix == ".safetensors":
        return True
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as fault:
        raise WeightsError(f"{path} is not a whole safetensors file ({fault}). Mend: copy or download it again") from None


def _read_pickle(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    stubs: list[Any] = [(OrderedDict, name) for name in INERT]
    try:
        with torch.serialization.safe_globals(stubs):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as fault:
        reason = next((line for line in str(fault).splitlines() if "nsupported" in line or "GLOBAL" in line), "weights only")
        raise WeightsError(
            f"{path} cannot be read without running code in it, which swinkit does not do ({reason}). Mend: save its weights alone, "
            "torch.save(model.state_dict(), ...), or as safetensors"
        ) from None
    except (
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
        OverflowError,
    ) as fault:
        raise WeightsError(
            f"{path} is not a whole PyTorch file ({type(fault).__name__}: {fault}). Mend: copy or download it again"
        ) from None
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, expected a dict of tensors or a checkpoint with one")
    nested = next((name for name in STATES if isinstance(content.get(name), Mapping)), None)
    if nested is None:
        return dict(content), {}
    return dict(content[nested]), {name: value for name, value in content.items() if name != nested}
