"""Class activation maps of a Swin: gradient times activation where the model reads its map, behind a norm.

Which layer is right follows from the layer norm. It does not change when its input is scaled, so by Euler's theorem the gradient
in front of it is orthogonal to the activation: their product is zero, token by token, whatever the picture. Behind the last norm
the classifier is linear and the product is the CAM of Zhou et al. (arXiv 1512.04150): its mean over tokens is the score, less the
head's bias. For a score that is not linear in the map (detection, segmentation) it is HiResCAM (Draelos and Carin, arXiv 2011.08891).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .seeing import backbone_of, index_of, leaf_at, upsampled

Score = Callable[[Any], Tensor]  # what the model gives out -> (B,), one number a picture, differentiable


@dataclass(frozen=True)
class Reading:
    """Where a stage's map is read: the output of ``norm``, tokens of ``stride`` pixels.

    ``parts`` is into how many neighbours along each axis its channels fall apart: 2 behind the norm of V1's patch merging.
    """

    norm: nn.Module
    stride: int
    parts: int = 1

    def map_of(self, product: Tensor) -> Tensor:
        """(B, r, c, parts² C) to (B, parts r, parts c): the sum over the channels of each token."""
        batch, rows, columns, _ = product.shape
        by_part = product.view(batch, rows, columns, self.parts, self.parts, -1).sum(-1)  # columns outside rows, as merged
        return by_part.permute(0, 1, 4, 2, 3).reshape(batch, rows * self.parts, columns * self.parts)


def reading_of(model: nn.Module, stage: int = -1) -> Reading:
    """Where ``model`` reads the map of ``stage``: behind the last norm, or behind the norm of the next patch merging.

    A model with a norm for each stage, as dense heads have, says so by an attribute ``norms``.
    """
    backbone = backbone_of(model)
    config = backbone.config
    stage = index_of(stage, config.num_stages, "stage")
    norms: Any = getattr(model, "norms", None)
    if norms is not None:
        return Reading(norms[stage], config.strides[stage])
    if stage == config.num_stages - 1:
        return Reading(model.norm, config.strides[stage])  # type: ignore[arg-type]
    norm = backbone.stages[stage + 1].merge.norm  # type: ignore[union-attr]
    if config.version == 1:  # the norm of 4C comes before the reduction, so the four neighbours can be told apart
        return Reading(norm, config.strides[stage], parts=2)  # type: ignore[arg-type]
    return Reading(norm, config.strides[stage + 1])  # type: ignore[arg-type]


def cam(model: nn.Module, images: Tensor, score: Score, stage: int = -1) -> Tensor:
    """What speaks for ``score`` (above 0) and against it (below), on the model's input: (B, H, W), for ``images`` (B, channels, H, W).

    ``stage`` chooses the map, the last one by default; earlier ones are finer and less about the class.
    """
    reading = reading_of(model, stage)
    with torch.no_grad(), leaf_at(reading.norm) as leaves:
        value = score(model(images))
        (gradient,) = torch.autograd.grad(value.sum(), leaves)
    product = (gradient * leaves[0]).detach()
    tokens = reading.map_of(product)
    return upsampled(tokens * tokens[0].numel(), reading.stride, (images.shape[2], images.shape[3]))
