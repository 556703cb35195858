"""Which random changes a training picture undergoes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]


class Augmentation(BaseModel):
    """All off is no augmentation.

    ``flip`` mirrors left and right every second time. ``crop_scale`` cuts a box of that share of the area (sides between 3:4
    and 4:3) and scales it to the model's size, as Inception did; without it the picture is prepared as for evaluation and
    ``shift`` moves it by up to so many pixels, repeating its edge. ``randaugment`` is the magnitude (of 30; 9 is usual) of two
    random operations (Cubuk et al., arXiv 1909.13719). ``color_jitter`` changes brightness, contrast and saturation by up to
    that share. ``erasing`` is the probability that a box is replaced by the mean (Zhong et al., arXiv 1708.04896).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip: bool = False
    crop_scale: tuple[float, float] | None = None
    shift: Annotated[int, Field(ge=0)] = 0
    randaugment: Annotated[int, Field(ge=0, le=30)] = 0
    color_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    erasing: Probability = 0.0

    @model_validator(mode="after")
    def _shares(self) -> Augmentation:
        if self.crop_scale is not None and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale is {self.crop_scale}; expected two shares of the area, 0 < low <= high <= 1")
        return self

    @property
    def photometric(self) -> bool:
        """Whether it changes values in ways defined for gray and RGB only."""
        return bool(self.randaugment or self.color_jitter)
