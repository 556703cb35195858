"""What frozen features are worth by nearest neighbours and a linear layer; and that layer as the head with which fine-tuning begins.

Nearest neighbours as Wu et al. (arXiv 1805.01978), the linear layer as MAE (arXiv 2111.06377).

N pictures of F features, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.collection import Collection
from ..data.loader import eval_batches
from ..data.transforms import evaluation
from ..errors import DataError
from ..preprocessing import Preprocessing

NEIGHBOURS, TEMPERATURE = 20, 0.07
SMALLEST = 1e-6  # deviation of a feature that is the same in all pictures
MOST_LEARNED, MOST_JUDGED = 5000, 2000  # pictures that are enough to tell features apart
BATCH_SIZE = 64  # pictures
Heeding = Callable[[Iterable[Any]], Iterable[Any]]
HEAD_DECAY = 1e-2  # a head to go on from is held smaller than one that is only judged


@dataclass(frozen=True)
class Probe:
    """Labelled pictures on which features are judged: ``train`` to learn from, ``test`` to answer for."""

    collection: Collection
    train: Sequence[int]
    test: Sequence[int]

    def measure(
        self, model: Any, preprocessing: Preprocessing, batch_size: int = BATCH_SIZE, workers: int = 0, heeding: Heeding = iter
    ) -> dict[str, float]:
        """Shares of right answers by nearest neighbours ("knn") and by a linear layer ("linear"); ``model`` has ``pooled``, and batches pass
        through ``heeding``, which may end it by raising."""
        learned, judged = (
            features(model, self.collection, part, preprocessing, batch_size, workers, heeding)
            for part in (self.train, self.test)
        )
        truths = [torch.from_numpy(self.collection.label_matrix(part)) for part in (self.train, self.test)]
        learned, judged = standardised(learned, judged)
        count = len(self.collection.classes)
        weight, bias = linear(learned, truths[0], count)
        answers = {"knn": neighbours(learned, truths[0], judged, count), "linear": judged @ weight + bias}
        return {name: float((scores.argmax(dim=1) == truths[1]).float().mean()) for name, scores in answers.items()}

    def seconds(self, model: Any, preprocessing: Preprocessing) -> float:
        """How long :meth:`measure` takes without workers, from one batch; the regression, small beside the features, is left out."""
        tried = self.train[:BATCH_SIZE]
        begun = time.perf_counter()
        features(model, self.collection, tried, preprocessing, BATCH_SIZE, 0)
        return (time.perf_counter() - begun) * (len(self.train) + len(self.test)) / len(tried)


def make_probe(collection: Collection, train: Sequence[int], test: Sequence[int], seed: int) -> Probe:
    """A :class:`Probe` on at most so many pictures as tell features apart; raises :class:`DataError` for none to learn from or to judge by."""
    if not train or not test:
        raise DataError(
            f"{collection.root}: {len(train)} pictures to learn from and {len(test)} to judge features by. Mend: more pictures of each class"
        )
    chance = np.random.default_rng(seed)
    return Probe(collection, drawn(train, MOST_LEARNED, chance), drawn(test, MOST_JUDGED, chance))


def fit_head(
    model: Any, collection: Collection, train: Sequence[int], preprocessing: Preprocessing, seed: int, workers: int = 0
) -> None:
    """Make the head of ``model`` the regression on the features of up to 5,000 of ``train``, so that the first steps of fine-tuning do
    not distort what the backbone knows (Kumar et al., arXiv 2202.10054). No other weight changes, nor a random number."""
    learned = drawn(train, MOST_LEARNED, np.random.default_rng(seed))
    x = features(model, collection, learned, preprocessing, 64, workers)
    mean, deviation = x.mean(dim=0), x.std(dim=0) + SMALLEST
    truth = torch.from_numpy(collection.label_matrix(learned))
    weight, bias = linear((x - mean) / deviation, truth, len(collection.classes), HEAD_DECAY)
    weight /= deviation[:, None]
    with torch.no_grad():
        model.head.weight.copy_(weight.T)
        model.head.bias.copy_(bias - mean @ weight)


def drawn(indices: Sequence[int], most: int, chance: np.random.Generator) -> list[int]:
    """Up to ``most`` of ``indices``, drawn by ``chance``, in order."""
    return sorted(chance.permutation(np.asarray(indices))[:most].tolist())


@torch.inference_mode()
def features(
    model: Any, collection: Collection, indices: Sequence[int], preprocessing: Preprocessing, batch_size: int, workers: int,
    heeding: Heeding = iter,
) -> Tensor:  # fmt: skip
    """Pooled embeddings (N, F) in float32 of ``indices``, on the CPU."""
    device, mode = next(model.parameters()).device, model.training
    model.eval()
    batches = eval_batches(collection, indices, evaluation(preprocessing), batch_size, workers=workers)
    try:
        return torch.cat([model.pooled(batch.images.to(device)).float().cpu() for batch in heeding(batches)])
    finally:
        model.train(mode)


def standardised(learned: Tensor, judged: Tensor) -> tuple[Tensor, Tensor]:
    """Both (N, F), each feature less the mean and by the deviation that it has among ``learned``."""
    mean, deviation = learned.mean(dim=0), learned.std(dim=0) + SMALLEST
    return (learned - mean) / deviation, (judged - mean) / deviation


def neighbours(learned: Tensor, truth: Tensor, judged: Tensor, classes: int) -> Tensor:
    """Votes (N, K) of the 20 nearest ``learned`` features by cosine, weighted by exp(cosine / 0.07)."""
    cosine = F.normalize(judged, dim=1) @ F.normalize(learned, dim=1).T
    nearest, index = cosine.topk(min(NEIGHBOURS, len(learned)), dim=1)
    return torch.zeros(len(judged), classes).scatter_add_(1, truth[index], (nearest / TEMPERATURE).exp())


def linear(learned: Tensor, truth: Tensor, classes: int, decay: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Weights (F, K) and bias (K,) of a logistic regression, found by L-BFGS from zero: multinomial where ``truth`` is (N,) of indices,
    one per class where it is (N, K) of zeros and ones."""

    def cross_entropy(scores: Tensor, truth: Tensor) -> Tensor:
        return (
            F.cross_entropy(scores, truth) if truth.ndim == 1 else classes * F.binary_cross_entropy_with_logits(scores, truth)
        )

    with torch.inference_mode(False), torch.enable_grad():
        x, y = learned.clone(), truth.clone()
        weight = torch.zeros(learned.shape[1], classes, requires_grad=True)
        bias = torch.zeros(classes, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = cross_entropy(x @ weight + bias, y) + decay / 2 * weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)  # type: ignore[arg-type]
    return weight.detach(), bias.detach()
