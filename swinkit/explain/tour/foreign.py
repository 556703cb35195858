"""Is a picture of the kind that the bundled classifier learned from? It is compared, in three ways, with pictures that are.

A classifier answers with a class whatever it is shown, often with certainty. What betrays a foreign picture: its embedding lies far
from those of known pictures (Sun et al., arXiv 2204.06507), in the classifier or in a network pre-trained on the same kind, or that
network paints it badly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
SAME = 0.02  # of the median distance; what is closer is the same picture


def judged(subject: Subject) -> dict[str, Any] | None:
    """The share of known pictures that are as strange as the tour's, by each of three measures and by all; None for other models."""
    if subject.model_name != BUNDLED_MODEL:
        return None
    collection = open_bundled(KNOWN)
    known = [collection.read(index) for index in range(0, len(collection), EVERY)]
    shares = {name: rarity(values) for name, values in strangeness(subject, known, load_painter(BUNDLED_PAINTER))}
    together = rarity(-torch.stack(list(shares.values())).log().sum(dim=0))
    return {
        "foreign": bool(together[0] <= RARE), "known": len(known), "rare": RARE, "share": float(together[0]),
        "measures": {name: float(share[0]) for name, share in shares.items()},
    }  # fmt: skip


def rarity(values: Tensor) -> Tensor:
    """For each of (N,), the asked one first, the share of the known ones, itself counted in, that are as large or larger."""
    count = (values[None, 1:] >= values[:, None]).sum(dim=1)
    count[0] += 1  # every known one counts itself already
    return count / len(values)


def strangeness(subject: Subject, known: Sequence[np.ndarray], painter: Painter) -> Iterator[tuple[str, Tensor]]:
    """Three measures by name, each of the tour's picture and then of the ``known``, (1 + N,)."""
    asked = decode(subject.source, painter.preprocessing.channels)
    for name, network, preprocessing in (
        ("classifier", subject.model, subject.model.preprocessing), ("painter", painter.network, painter.preprocessing),
    ):  # fmt: skip
        prepare = evaluation(preprocessing)
        with torch.inference_mode():
            yield name, nearest(network.pooled(torch.stack([prepare(one) for one in (asked, *known)])))
    mask = masks(painter.preprocessing.size, painter.network.masking)[1:3]
    losses = [[row.loss for row in repainted(painter, one, mask)] for one in (asked, *known)]
    yield "painting", torch.tensor(losses).mean(dim=1)


def nearest(embeddings: Tensor) -> Tensor:
    """Distance (N,) from each of ``embeddings`` (N, F), the asked one first, to the nearest of the known others."""
    apart = torch.cdist(embeddings, embeddings[1:])
    return apart.masked_fill(apart < SAME * apart.median(), torch.inf).min(dim=1).values
