"""Gradient explanations in pixels, through captum: integrated gradients and SmoothGrad."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..extras import required
from .blank import blank
from .cam import Score

AT_ONCE = 8  # pictures through the model at once
NOISY, NOISE = 8, 0.15  # SmoothGrad's pictures, and the standard deviation of their noise in units of the picture's own


def integrated_gradients(model: nn.Module, images: Tensor, score: Score, steps: int = 16) -> Tensor:
    """Sundararajan et al. (arXiv 1703.01365), from the blurred picture to the picture: (B, H, W), summed over colours.

    Signed; it sums to the difference of ``score`` between the two, up to the coarseness of ``steps``.
    """
    method = required("captum.attr", "explain").IntegratedGradients(_scored(model, score))
    given = method.attribute(images, baselines=blank(images), n_steps=steps, internal_batch_size=max(AT_ONCE, len(images)))
    return given.sum(dim=1).detach()


def smoothgrad(model: nn.Module, images: Tensor, score: Score, seed: int | None = None) -> Tensor:
    """Smilkov et al. (arXiv 1706.03825): the gradient's size, averaged over noisy pictures: (B, H, W), not negative.

    The noise is that of ``seed``, by default torch's global generator's.
    """
    attributions = required("captum.attr", "explain")
    method = attributions.NoiseTunnel(attributions.Saliency(_scored(model, score)))
    deviation = float(NOISE * images.std())
    with torch.random.fork_rng([images.device] if images.is_cuda else [], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        given = method.attribute(
            images, nt_type="smoothgrad", nt_samples=NOISY, nt_samples_batch_size=AT_ONCE, stdevs=deviation, abs=True
        )
    return given.sum(dim=1).detach()


def _scored(model: nn.Module, score: Score) -> Callable[[Tensor], Tensor]:
    return lambda images: score(model(images))
