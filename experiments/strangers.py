"""How well does the tour tell a picture of a foreign kind? Its check, and scores of the literature, on bundled pictures.

    python -m experiments.strangers

The bundled classifier knows clothes. Known are 500 pictures of clothes that it did not learn from; 500 others of them should pass, and
hand-written digits, pieces of photographs, noise and negatives of clothes should not. Each score calls foreign what is stranger than all but 5 % of
the known. Scores: nearest neighbour (Sun et al., arXiv 2204.06507), Mahalanobis distance to the nearest class (Lee et al., arXiv 1807.03888), energy
(Liu et al., arXiv 2010.03759), highest logit and highest probability (Hendrycks and Gimpel, arXiv 1610.02136). Results: experiments/results/strangers.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import swinkit
from swinkit.data.bundled import open_bundled
from swinkit.data.scenes import PHOTOGRAPHS, open_photographs
from swinkit.explain.reconstruction import load_painter
from swinkit.explain.tour.foreign import EVERY, KNOWN, RARE, Known, rarity
from swinkit.explain.tour.painting import BUNDLED_PAINTER
from swinkit.explain.tour.subject import BUNDLED_MODEL
from swinkit.weights.atomic import write_json

RESULTS = Path(__file__).parent / "results" / "strangers.json"
SIDE, PIECES = 28, 20
FOLDS = 10  # the known are judged by statistics of the others
SHRUNK = 1e-3  # of the mean variance, added to each


def pictures(every: int) -> dict[str, list[np.ndarray]]:
    """(28, 28, 1) uint8 by kind; of the digits and of the clothes that are not known, each ``every``-th."""
    clothes, digits = open_bundled(KNOWN), open_bundled("digits")
    drawn = np.random.default_rng(0)
    held = [clothes.read(index) for index in range(1, len(clothes), EVERY * every)]
    return {
        "clothes": held,
        "digits": [digits.read(index) for index in range(0, len(digits), every)],
        "photographs": [
            piece(photograph, drawn) for part in PHOTOGRAPHS for photograph in open_photographs(part) for _ in range(PIECES)
        ],
        "noise": list(drawn.integers(0, 256, (100, SIDE, SIDE, 1), np.uint8)),
        "negatives": [255 - one for one in held],
    }


def piece(photograph: np.ndarray, drawn: np.random.Generator) -> np.ndarray:
    """A square somewhere in it, in gray."""
    image = Image.fromarray(photograph).convert("L")
    side = int(drawn.integers(SIDE, min(image.size)))
    left, top = (int(drawn.integers(0, extent - side + 1)) for extent in image.size)
    return np.asarray(image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE)))[..., None]


def mahalanobis(known: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
    """Squared distance (N,) of each of ``asked`` (N, F) to the nearest class, with the covariance that all classes share."""
    known, asked = known.double(), asked.double()
    means = torch.stack([known[labels == label].mean(dim=0) for label in labels.unique()])
    spread = known - means[torch.searchsorted(labels.unique(), labels)]
    covariance = spread.T @ spread / len(known)
    covariance += SHRUNK * covariance.diagonal().mean() * torch.eye(len(covariance))
    apart = asked[:, None] - means
    return torch.einsum("nkf,fg,nkg->nk", apart, torch.linalg.inv(covariance), apart).min(dim=1).values.float()


def crossed(known: Tensor, labels: Tensor) -> Tensor:
    """:func:`mahalanobis` of the ``known`` (N, F) themselves, each by statistics without it."""
    fold = torch.arange(len(known)) % FOLDS
    scores = torch.empty(len(known))
    for number in range(FOLDS):
        scores[fold == number] = mahalanobis(known[fold != number], labels[fold != number], known[fold == number])
    return scores


def by_logits(logits: Tensor) -> dict[str, Tensor]:
    return {
        "energy": -logits.logsumexp(dim=1),
        "highest logit": -logits.amax(dim=1),
        "highest probability": -logits.softmax(dim=1).amax(dim=1),
    }


def scores(known: Known, labels: Tensor, asked: Sequence[np.ndarray] | None = None) -> dict[str, Tensor]:
    """Every score (N,) of ``asked``, by default of the known pictures themselves; larger is stranger."""
    head = known.networks["classifier"][0].head
    found = dict(known.strange if asked is None else known.strangeness(asked))
    for name, features in known.features.items():
        own = features if asked is None else known.features_of(name, asked)
        found[f"Mahalanobis, {name}"] = crossed(features, labels) if asked is None else mahalanobis(features, labels, own)
        if name == "classifier":
            with torch.inference_mode():
                found |= by_logits(head(own))
    return found


def measure(every: int = 1) -> dict[str, Any]:
    """For each score the share of each kind that it calls foreign, JSON-ready."""
    clothes = open_bundled(KNOWN)
    places = range(0, len(clothes), EVERY)
    labels = torch.tensor([clothes.samples[index].labels[0] for index in places])
    known = Known(swinkit.load(BUNDLED_MODEL), load_painter(BUNDLED_PAINTER), [clothes.read(index) for index in places])
    usual, shares, counts = scores(known, labels), {}, {}
    for kind, asked in pictures(every).items():
        counts[kind] = len(asked)
        for name, values in scores(known, labels, asked).items():
            shares.setdefault(name, {})[kind] = called(rarity(values, usual[name]))
        shares.setdefault("all three", {})[kind] = called(known.together(known.shares(asked)))
    return {"known": len(places), "rare": RARE, "pictures": counts, "shares": shares}


def called(shares: Tensor) -> float:
    return round(float((shares <= RARE).float().mean()), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take each so-many-th picture")
    every = parser.parse_args().every
    result = {"command": f"python -m experiments.strangers --every {every}", "torch": torch.__version__, **measure(every)}
    write_json(RESULTS, result)
    for name, shares in result["shares"].items():
        print(f"{name:24}" + "".join(f"  {kind} {share:6.1%}" for kind, share in shares.items()))


if __name__ == "__main__":
    main()
