"""The chapter on SimMIM: a picture with more and more of it hidden, and what a network that was pre-trained so paints there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...config import Masking
from ...data.decode import decode
from ...data.rgb import as_rgb
from ...data.transforms import takes
from ...model.simmim import VISIBLE
from ...model.windows import Size
from ...tasks.pretraining import Reconstruction, sample_masks
from ...weights.named import is_variant
from ..reconstruction import Painter, find_painter, load_painter, repainted
from .packing import png
from .subject import LARGE, Subject, bundled_picture

BUNDLED_PAINTER = "swin_nano.simmim_fashion_mnist"
RATIOS = (0.2, 0.4, 0.6, 0.8)  # shares of cells to hide, besides the one the network was trained at
SPARSE_MASKS = 4  # sparse pre-training hides the same share always, so other cells are shown instead


class Chosen(NamedTuple):
    """Who paints: ``own`` if it is the tour's model itself."""

    name: str
    painter: Painter
    own: bool

    @property
    def bundled(self) -> bool:
        return self.name == BUNDLED_PAINTER


def choose_painter(model: str, simmim: str | None = None) -> Chosen:
    """The network ``simmim``; without it the tour's ``model``, if it was pre-trained by hiding parts, else the bundled one.

    Raises :class:`UsageError` where ``simmim`` has nothing to paint with.
    """
    if simmim is not None:
        return Chosen(simmim, load_painter(simmim), simmim == model)
    own = None if is_variant(model) else find_painter(model)
    return Chosen(model, own, True) if own else Chosen(BUNDLED_PAINTER, load_painter(BUNDLED_PAINTER), False)


def reconstruction(subject: Subject, chosen: Chosen) -> dict[str, Any]:
    """The tour's picture, repainted under several masks. Beside it, if the network is the bundled one, a picture of the kind it
    learned from, though none of those; and that alone, if the network cannot be shown a picture of so many channels."""
    channels, masking = chosen.painter.preprocessing.channels, chosen.painter.network.masking
    strange = chosen.bundled and not takes(channels, subject.image.shape[1])
    pictures = [] if strange else [("yours", subject.picture_name, decode(subject.source, channels))]
    if strange or (chosen.bundled and not isinstance(subject.source, np.ndarray)):
        known, name, _ = bundled_picture()
        pictures.append(("known", name, known))
    size = chosen.painter.sees(pictures[0][2])  # the bundled network sees every picture at one size
    mask = masks(size, masking)
    shares = [float((one != VISIBLE).float().mean()) for one in mask]
    scenes = [{"whose": whose, "name": name, **scene(chosen.painter, picture, mask)} for whose, name, picture in pictures]
    return {
        "model": chosen.name, "own": chosen.own, "bundled": chosen.bundled, "size": list(size), "tiny": max(size) <= LARGE,
        "channels": channels, "left_out": subject.image.shape[1] if strange else None, "cell": masking.cell, "sparse": masking.sparse,
        "ratio": masking.ratio, "shares": shares, "start": 0 if masking.sparse else ratios(masking).index(masking.ratio),
        "learned_from": chosen.painter.learned_from, "cells": mask[0].numel(), "scenes": scenes,
    }  # fmt: skip


def ratios(masking: Masking) -> list[float]:
    return sorted({*RATIOS, masking.ratio})


def masks(size: Size, masking: Masking) -> Tensor:
    """Masks (T, R, S), each of which hides what the one before hid and more; sparse ones are drawn independently."""
    if masking.sparse:
        return sample_masks(size, masking, 0, 0, np.arange(SPARSE_MASKS))
    one = np.zeros(1, np.int64)
    drawn = [sample_masks(size, masking.model_copy(update={"ratio": ratio}), 0, 0, one) for ratio in ratios(masking)]
    return torch.cat(drawn)


def scene(painter: Painter, picture: np.ndarray, mask: Tensor) -> dict[str, Any]:
    """One ``picture`` (H, W, C) under every mask, as the page shows it."""
    rows = repainted(painter, picture, mask)
    return {"original": png(as_rgb(rows[0].original)), "steps": [step(row) for row in rows]}


def step(row: Reconstruction) -> dict[str, Any]:
    """``error`` is drawn as bright as it is large; ``loss`` and ``blind`` are mean errors on hidden pixels of 0..1."""
    drawn = {name: png(as_rgb(getattr(row, name))) for name in ("masked", "painted", "error")}
    return {**drawn, "loss": row.loss, "blind": row.blind_loss}
