"""Is a picture of the kind that the bundled classifier learned from? It is compared, in three ways, with pictures that are.

A classifier answers with a class whatever it is shown, often with certainty. What betrays a foreign picture: its embedding lies far
from those of known pictures (Sun et al., arXiv 2204.06507), in the classifier or in a network pre-trained on the same kind, or that
network paints it badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.bundled import open_bundled
from ...data.decode import decode
from ...data.transforms import evaluation
from ..reconstruction import Painter, load_painter, repainted
from .painting import BUNDLED_PAINTER, masks
from .subject import BUNDLED_MODEL, BUNDLED_PICTURE, Subject

KNOWN = BUNDLED_PICTURE[0]  # of the same kind as the bundled models' training pictures, and none of those
EVERY = 2  # every second of its pictures is compared with, which takes a second or two
RARE = 0.05  # a picture stranger than all but this share of the known ones is called foreign
TRIAL = {"clothes": 0.05, "digits": 0.92, "photographs": 0.91}  # shares called foreign, by `python -m experiments.strangers`
SAME = 0.02  # of the median distance; what is closer is the same picture


def judged(subject: Subject) -> dict[str, Any] | None:
    """The share of known pictures that are as strange as the tour's, by each of three measures and by all; None for other models."""
    if subject.model_name != BUNDLED_MODEL:
        return None
    painter = load_painter(BUNDLED_PAINTER)
    collection = open_bundled(KNOWN)
    known = Known(subject.model, painter, [collection.read(index) for index in range(0, len(collection), EVERY)])
    shares = known.shares([decode(subject.source, painter.preprocessing.channels)])
    together = float(known.together(shares)[0])
    return {
        "trial": TRIAL, "foreign": together <= RARE, "known": len(known.pictures), "rare": RARE, "share": together,
        "measures": {name: float(share[0]) for name, share in shares.items()},
    }  # fmt: skip


class Known:
    """``pictures`` of a known kind, to which others are compared as ``classifier`` and ``painter`` see them."""

    def __init__(self, classifier: Any, painter: Painter, pictures: Sequence[np.ndarray]) -> None:
        self.pictures, self.painter = pictures, painter
        self.networks = {
            "classifier": (classifier, classifier.preprocessing),
            "painter": (painter.network, painter.preprocessing),
        }
        self.features = {name: self.features_of(name, pictures) for name in self.networks}
        self.strange = self.strangeness(pictures)

    def strangeness(self, pictures: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Of each of ``pictures``, (N,) by three measures: distance to the nearest known one in either network, and error of painting."""
        near = {name: nearest(self.features_of(name, pictures), known) for name, known in self.features.items()}
        mask = masks(self.painter.preprocessing.size, self.painter.network.masking)[1:3]
        losses = [[row.loss for row in repainted(self.painter, one, mask)] for one in pictures]
        return {**near, "painting": torch.tensor(losses).mean(dim=1)}

    def shares(self, pictures: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """For each of ``pictures``, (N,) by each measure, the share of known ones, itself counted in, that are as strange or stranger."""
        return {name: rarity(values, self.strange[name]) for name, values in self.strangeness(pictures).items()}

    def together(self, shares: dict[str, Tensor]) -> Tensor:
        """One share (N,) of all measures, by Fisher's sum of logarithms."""
        own = {name: rarity(values, values, counted=True) for name, values in self.strange.items()}
        summed, known = (-torch.stack(list(each.values())).log().sum(dim=0) for each in (shares, own))
        return rarity(summed, known)

    def features_of(self, name: str, pictures: Sequence[np.ndarray]) -> Tensor:
        """Pooled features (N, F) of ``pictures`` in the network ``name``."""
        network, preprocessing = self.networks[name]
        prepare = evaluation(preprocessing)
        with torch.inference_mode():
            return network.pooled(torch.stack([prepare(one) for one in pictures]))


def rarity(values: Tensor, known: Tensor, counted: bool = False) -> Tensor:
    """For each of ``values`` (N,) the share of the ``known`` ones (K,) and itself that are as large or larger; ``counted`` are known."""
    return ((known >= values[:, None]).sum(dim=1) + (not counted)) / (len(known) + 1)


def nearest(embeddings: Tensor, known: Tensor) -> Tensor:
    """Distance (N,) from each of ``embeddings`` (N, F) to the nearest of the ``known`` (K, F) that is another picture."""
    apart = torch.cdist(embeddings, known)
    return apart.masked_fill(apart < SAME * torch.cdist(known, known).median(), torch.inf).min(dim=1).values
