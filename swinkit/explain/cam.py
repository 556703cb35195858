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

from .blank import blurred
from .rollout import traced_back
from .seeing import backbone_of, index_of, leaf_at, meetings, upsampled

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


def cam_tokens(model: nn.Module, images: Tensor, score: Score, stage: int = -1) -> Tensor:
    """What each token of the map of ``stage`` adds to ``score``, for (above 0) or against it: (B, h, w), times their number."""
    reading = reading_of(model, stage)
    with torch.no_grad(), leaf_at(reading.norm) as leaves:
        value = score(model(images))
        (gradient,) = torch.autograd.grad(value.sum(), leaves)
    tokens = reading.map_of((gradient * leaves[0]).detach())
    return tokens * tokens[0].numel()


def cam(model: nn.Module, images: Tensor, score: Score, stage: int = -1) -> Tensor:
    """:func:`cam_tokens` on the model's input: (B, H, W), for ``images`` (B, channels, H, W).

    It says where the tokens are that speak for the score. They have listened to their whole window since the patches, in the last
    stage often to all of the picture; where they have it from is what :func:`traced_cam` shows.
    """
    tokens = cam_tokens(model, images, score, stage)
    return upsampled(tokens, reading_of(model, stage).stride, (images.shape[2], images.shape[3]))


def traced_cam(model: nn.Module, images: Tensor, score: Score) -> Tensor:
    """Where what speaks for ``score`` comes from: (B, H, W), not negative, for ``images`` (B, channels, H, W).

    The evidence of the last map's tokens goes back through every block to the patches: what the residual kept stays, the rest
    follows the attention through the true windows, as in rollout. That path says nothing finer than about a token of the last map, so
    what lies on each patch is shared out by a Gaussian of half such a token's side, within the picture. All evidence stays on the
    map; where it lies evenly, the border has about 0.7 of what the middle has, since a place there has fewer neighbours.
    """
    config = backbone_of(model).config
    with meetings(model) as met:
        evidence = cam_tokens(model, images, score).relu()
    found = upsampled(traced_back(met, evidence), config.strides[0], (images.shape[2], images.shape[3]))
    return blurred(found, config.strides[-1] / 2, shared_out=True)
