"""Does a set of tensors fit a module? Asked of headers before anything is read, answered with every difference at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import WeightsError

FLOATS = ("F64", "F32", "F16", "BF16")
NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


class Signature(NamedTuple):
    """What is known of a tensor without its values; ``dtype`` as safetensors spells it, or, of a type that no Swin has, as torch does."""

    shape: tuple[int, ...]
    dtype: str


class ShapesOnly(TorchFunctionMode):
    """Within it, modules are built without values: parameters on the meta device, initialisation left out.

    ``torch.device("meta")`` alone would do, but its kernels import torch's compiler the first time, which takes ten seconds.
    """

    FACTORIES = ("empty", "zeros", "ones")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in self.FACTORIES:
            return func(*args, **{**kwargs, "device": "meta"})
        if name.endswith("_") and not name.endswith("__"):
            target = args[0] if args else kwargs["tensor"]
            if target.is_meta:
                return target
        return func(*args, **kwargs)


def signatures(state: Mapping[str, Tensor]) -> dict[str, Signature]:
    """Signature of each tensor of a state dict, on any device, meta included."""
    return {name: Signature(tuple(tensor.shape), _spelt(tensor.dtype)) for name, tensor in state.items()}


def read_header(path: Path) -> dict[str, Signature]:
    """Signatures from the header of a safetensors file, whose offsets the library has checked against the file's length.

    Raises :class:`WeightsError` when it is no safetensors file or a part of one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return {name: Signature(tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError) as fault:
        raise WeightsError(
            f"{path} is not a whole safetensors file ({fault}). Mend: copy or download it again, or convert the original"
        ) from None


def differences(expected: Mapping[str, Signature], found: Mapping[str, Signature]) -> list[str]:
    """One line per key that does not match, of both sides; any floating type may stand for another."""
    lines = [f"missing: {name} {expected[name].shape}" for name in expected if name not in found]
    lines += [f"not expected: {name} {found[name].shape}" for name in found if name not in expected]
    for name in expected:
        if name not in found:
            continue
        want, have = expected[name], found[name]
        if want.shape != have.shape:
            lines.append(f"shape: {name} expected {want.shape}, got {have.shape}")
        if want.dtype != have.dtype and not (want.dtype in FLOATS and have.dtype in FLOATS):
            lines.append(f"type: {name} expected {want.dtype}, got {have.dtype}")
    return lines


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """One line per tensor of :data:`FLOATS` that holds a NaN or an infinity."""
    floats = ((name, tensor) for name, tensor in state.items() if _spelt(tensor.dtype) in FLOATS)
    return [f"not finite: {name}" for name, tensor in floats if not torch.isfinite(tensor).all()]


def refuse_not_finite(state: Mapping[str, Tensor], source: str | Path) -> None:
    """Raise :class:`WeightsError` naming the tensors that hold a NaN or an infinity, if there are any: nobody could read them again."""
    if lines := not_finite(state):
        report = "\n".join(f"  {line}" for line in lines)
        raise WeightsError(
            f"The weights of {source} hold NaN or infinity in {len(lines)} of {len(state)} tensors, so that nothing is written:\n{report}\n"
            "Mend: go back to weights from before they were spoilt, such as an earlier checkpoint"
        )


def refuse(lines: list[str], source: str | Path) -> None:
    """Raise :class:`WeightsError` with all ``lines``, if there are any."""
    if lines:
        report = "\n".join(f"  {line}" for line in lines)
        raise WeightsError(f"The weights of {source} do not fit the configuration, {len(lines)} differences:\n{report}")


def _spelt(dtype: torch.dtype) -> str:
    return NAMES.get(dtype, str(dtype))
