"""How a picture becomes the model's input: one description, read by training, predictor, exported graph and foreign formats."""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Interpolation = Literal["nearest", "bilinear", "bicubic"]
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)
Side = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Preprocessing(BaseModel):
    """Resize, crop, scale to 0..1, normalise per channel.

    ``size`` is the (height, width) that the model receives. ``resize`` "shortest" scales the shorter side to
    ``size / crop_ratio`` and cuts the centre; "squash" scales both sides to ``size`` without a crop; "none" leaves the
    picture's own size. ``mean`` and ``std`` are per channel, of values between 0 and 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: tuple[Side, Side] = (224, 224)
    resize: Literal["shortest", "squash", "none"] = "shortest"
    crop_ratio: Annotated[float, Field(gt=0, le=1)] = 0.875
    interpolation: Interpolation = "bicubic"
    channels: Annotated[int, Field(ge=1)] = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[Positive, ...] = IMAGENET_STD

    @model_validator(mode="after")
    def _one_statistic_per_channel(self) -> Preprocessing:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"mean has {len(self.mean)} and std {len(self.std)} entries; expected {self.channels}, one per channel"
            )
        return self

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Size (height, width) to which a picture of ``height`` x ``width`` is scaled, before the centre crop to ``size``."""
        if self.resize == "none":
            return height, width
        if self.resize == "squash":
            return self.size
        scale = max(side / self.crop_ratio / have for side, have in zip(self.size, (height, width), strict=True))
        return max(self.size[0], math.floor(height * scale + 0.5)), max(self.size[1], math.floor(width * scale + 0.5))

    def cropped(self, height: int, width: int) -> tuple[int, int, int, int]:
        """What of a picture of ``height`` x ``width``, once scaled, the model sees: (top, left, rows, columns)."""
        rows, columns = self.resized(height, width)
        if self.resize != "shortest":
            return 0, 0, rows, columns
        return (rows - self.size[0]) // 2, (columns - self.size[1]) // 2, *self.size
