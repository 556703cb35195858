"""``NAME.json`` beside ``NAME.pth``: what libraries that save weights alone leave unsaid, and how to build the network there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ...config import Masking, SwinConfig
from ...errors import WeightsError
from ...preprocessing import Preprocessing
from . import Told


class Beside(BaseModel):
    """``sha256`` is that of the weights; ``builder`` are arguments for the library, or none; ``masking`` is what a pre-training hid whose
    decoder is among the weights."""

    swinkit_weights: int = 1
    format: str
    sha256: str
    swin: SwinConfig
    classes: tuple[str, ...]
    multi_label: bool
    preprocessing: Preprocessing
    builder: dict[str, Any] = {}
    masking: Masking | None = None


def is_beside(described: Mapping[str, Any]) -> bool:
    return described.get("swinkit_weights") == 1


def read(described: Mapping[str, Any], sha256: str) -> Told:
    """What the file says; raises :class:`WeightsError` when it describes other weights than those of ``sha256``."""
    try:
        said = Beside.model_validate(described)
    except ValidationError as fault:
        raise WeightsError(f"The .json beside the weights does not describe them: {fault}. Mend: remove it") from None
    if said.sha256 != sha256:
        raise WeightsError(
            f"The .json beside the weights describes others: expected SHA-256 {said.sha256}, got {sha256}. "
            "Mend: restore the weights, or remove the .json"
        )
    return Told(said.swin, said.classes or None, said.preprocessing, said.multi_label, masking=said.masking)
