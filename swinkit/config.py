"""The one description of a Swin backbone and its classifier that is passed down, and of what masked pre-training hides."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .errors import UsageError

Side = Annotated[int, Field(ge=1)]


def _pair(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, Integral | float):
        return value
    if not isinstance(value, Integral):
        raise ValueError("expected a side, as 224, or height and width, as [160,320]")
    return int(value), int(value)


if TYPE_CHECKING:
    # a type checker takes what a descriptor is set to for the argument of the constructor
    class Pair:
        """(height, width), which may be given as one side."""

        def __get__(self, instance: object, owner: object) -> tuple[int, int]: ...
        def __set__(self, instance: object, value: int | tuple[int, int]) -> None: ...
else:
    Pair = Annotated[tuple[Side, Side], BeforeValidator(_pair)]


def as_side(value: Any) -> Any:
    """A square (height, width) as one integer; anything else as it is."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 2 and value[0] == value[1] else value


def height_and_width(size: Any, name: str = "image_size", unit: str = "pixels") -> tuple[int, int]:
    """``size``, a side or (height, width) in ``unit``, as the latter; raises :class:`UsageError` for what is none."""
    pair = (size, size) if isinstance(size, Integral) else size
    if not (
        isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(side, Integral) and int(side) > 0 for side in pair)
    ):
        raise UsageError(f"{name} is {size!r}; expected a side in {unit}, as 224, or height and width, as (160, 320)")
    return int(pair[0]), int(pair[1])


Trained = Annotated[Annotated[int, Field(ge=0)] | tuple[Side, Side], BeforeValidator(as_side)]


CPB_HIDDEN = 512  # hidden width of the network that makes version 2's position bias (V2, section 3.3)


class SwinConfig(BaseModel):
    """Architecture of a Swin Transformer.

    ``version`` 1 is Liu et al., "Swin Transformer" (arXiv 2103.14030); 2 is Liu et al., "Swin Transformer V2"
    (arXiv 2111.09883). Sizes are (height, width); one integer means a square. ``image_size``, in pixels, fixes each stage's
    window (see :meth:`stage_window`) and the size of absolute position embeddings (``ape``); it never limits which pictures
    the model accepts. ``window_size`` is in patches, ``geometry`` says whether small maps shrink it. ``extra_norm_every`` is after
    how many blocks version 2's largest networks norm once more, 0: never. ``pretrained_window_sizes`` says for each stage of version 2 at which window its log-CPB
    was trained; 0 is the present one. Two measures save memory for time (V2, section 3.4): ``gradient_checkpointing``
    keeps only what enters a block, ``attention_chunk`` lets so many windows attend at once, and the next ones after them; 0
    is all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Literal[1, 2] = 1
    image_size: Pair = (224, 224)  # type: ignore[assignment]
    patch_size: Side = 4
    in_channels: Side = 3
    num_classes: Annotated[int, Field(ge=0)] = 1000
    embed_dim: Side = 96
    depths: tuple[Side, ...] = (2, 2, 6, 2)
    num_heads: tuple[Side, ...] = (3, 6, 12, 24)
    window_size: Pair = (7, 7)  # type: ignore[assignment]
    pretrained_window_sizes: tuple[Trained, ...] = ()
    mlp_ratio: Annotated[float, Field(gt=0)] = 4.0
    qkv_bias: bool = True
    ape: bool = False
    extra_norm_every: Annotated[int, Field(ge=0)] = 0
    drop_path_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    geometry: Literal["classification", "dense"] = "classification"
    gradient_checkpointing: bool = False
    attention_chunk: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> SwinConfig:
        if len(self.num_heads) != len(self.depths):
            raise ValueError(
                f"num_heads has {len(self.num_heads)} entries and depths {len(self.depths)}; give one of each per stage"
            )
        for stage, (width, heads) in enumerate(zip(self.widths, self.num_heads, strict=True)):
            if width % heads:
                raise ValueError(
                    f"stage {stage + 1}: {width} channels do not divide into {heads} heads; change embed_dim or num_heads"
                )
        if not all(self.hidden_widths):
            raise ValueError(f"mlp_ratio {self.mlp_ratio} leaves {self.embed_dim} channels no hidden one; give a larger ratio")
        if self.pretrained_window_sizes and len(self.pretrained_window_sizes) != len(self.depths):
            raise ValueError(
                f"pretrained_window_sizes has {len(self.pretrained_window_sizes)} entries; expected {len(self.depths)}, one per stage, or none"
            )
        if self.version == 1 and (any(self.pretrained_window_sizes) or self.extra_norm_every):
            raise ValueError(
                "pretrained_window_sizes and extra_norm_every belong to version 2; set version=2 or leave them out"
            )
        return self

    @property
    def num_stages(self) -> int:
        return len(self.depths)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage: C, 2C, 4C, …"""
        return tuple(self.embed_dim * 2**stage for stage in range(self.num_stages))

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Channels of the hidden layer of each stage's MLPs, rounded down; a ratio that was a quotient of them gives them again."""
        return tuple(math.floor(width * self.mlp_ratio + 1e-9) for width in self.widths)

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per token side in each stage."""
        return tuple(self.patch_size * 2**stage for stage in range(self.num_stages))

    def grid(self, stage: int) -> tuple[int, int]:
        """Tokens (height, width) of ``stage`` for a picture of ``image_size``; sides are ceilings."""
        height, width = self.image_size
        stride = self.strides[stage]
        return -(-height // stride), -(-width // stride)

    def stage_window(self, stage: int) -> tuple[int, int]:
        """Window (height, width) of ``stage`` in tokens.

        Geometry "classification" shrinks a window that exceeds the stage's grid to that grid, per axis, as the published
        classifiers were trained; "dense" keeps the configured window everywhere, as detection and segmentation were.
        """
        if self.geometry == "dense":
            return self.window_size
        (rows, columns), (height, width) = self.grid(stage), self.window_size
        return min(height, rows), min(width, columns)

    def pretrained_window(self, stage: int) -> tuple[int, int]:
        """Window (height, width) at which ``stage``'s log-CPB was trained."""
        told = self.pretrained_window_sizes[stage] if self.pretrained_window_sizes else 0
        if not told:
            return self.stage_window(stage)
        return (told, told) if isinstance(told, int) else told

    @property
    def pretrained_windows(self) -> tuple[int | tuple[int, int], ...]:
        """Each :meth:`pretrained_window` as ``pretrained_window_sizes`` records it: a square as one integer."""
        return tuple(as_side(self.pretrained_window(stage)) for stage in range(self.num_stages))

    def drop_path_rates(self, stage: int) -> list[float]:
        """Stochastic depth of each block of ``stage``: rising linearly over the whole depth to ``drop_path_rate``."""
        total, before = sum(self.depths), sum(self.depths[:stage])
        return [self.drop_path_rate * (before + block) / max(1, total - 1) for block in range(self.depths[stage])]


class Masking(BaseModel):
    """What masked pre-training hides of a picture.

    ``cell`` is the side in pixels of what is hidden whole, a multiple of the patch. SimMIM covers the share ``ratio`` of all cells
    with a learned token (arXiv 2111.09886, section 3.2). ``sparse`` drops three cells of every 2x2 before the encoder instead, and
    covers the share ``covered`` of those that are left (UM-MAE, arXiv 2205.10063, section 3). ``normalise`` is the side in pixels
    of the neighbourhood by whose mean and deviation the target is normalised, odd; 0 leaves it as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Side = 32
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.6
    sparse: bool = False
    covered: Annotated[float, Field(ge=0, lt=1)] = 0.25
    normalise: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _odd(self) -> Masking:
        if self.normalise and (self.normalise % 2 == 0 or self.normalise == 1):
            raise ValueError(f"normalise is {self.normalise}; expected 0, or an odd side of at least 3 pixels")
        return self

    def fits(self, config: SwinConfig) -> None:
        """Raises :class:`UsageError` where ``config`` has no patches or stages for such cells."""
        patch, stride = config.patch_size, config.strides[-1]
        if self.cell % patch:
            raise UsageError(
                f"A mask cell of {self.cell} pixels is no multiple of the patch of {patch}. Mend: --mask-cell {max(1, self.cell // patch) * patch}"
            )
        if self.sparse and (stride % self.cell or config.ape):
            fitting = ", ".join(str(side) for side in config.strides)
            reason = (
                "the absolute position embedding has no place in a compacted picture"
                if config.ape
                else f"its cells are one of {fitting}"
            )
            raise UsageError(f"Sparse pre-training with cells of {self.cell} pixels: {reason}")
