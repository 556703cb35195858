"""Figures that belong to one map of a picture, by what it shows: a class, where information comes from, the attention of a token, or a receptive field."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from torch import Tensor

from ..model.windows import Size
from .frame import Box
from .seeing import Place


@dataclass(frozen=True)
class ClassFacts:
    """Of a map that was made for a class."""

    of_class: str

    def to_dict(self) -> dict[str, Any]:
        return {"of_class": self.of_class}


@dataclass(frozen=True)
class RolloutFacts:
    """Of a map that is the same for every class; its checks measured the share of the class ``checked_against``."""

    checked_against: str

    def to_dict(self) -> dict[str, Any]:
        return {"checked_against": self.checked_against}


@dataclass(frozen=True)
class AttentionFacts:
    """Of whom one token attends to in a block, which counts from 1.

    ``token`` is (row, column) on a map of ``size`` tokens of ``stride`` pixels of the model's input each, ``window`` its true window in
    pixels of the picture. ``heads`` (h, H, W) hold its softmax row at their places; ``entropy_bits`` and ``reach_tokens`` are those of
    each head over all tokens.
    """

    block: int
    token: Place
    window: Box
    heads: Tensor = field(repr=False)
    size: Size
    entropy_bits: list[float]
    reach_tokens: list[float]
    padding_share_of_patch: float
    padding_share_of_all_patches: float
    stride: int
    tokens_in_window: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without ``heads``; ``window`` is a list of one."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "heads"}
        return plain | {"window": [self.window]}


@dataclass(frozen=True)
class FieldFacts:
    """Of a receptive field: for a share of it, the side of the square that holds it, in pixels of the model's input."""

    sides: dict[float, float]

    def to_dict(self) -> dict[str, Any]:
        return {f"input_side_of_{share:.0%}": side for share, side in self.sides.items()}


Facts: TypeAlias = ClassFacts | RolloutFacts | AttentionFacts | FieldFacts
