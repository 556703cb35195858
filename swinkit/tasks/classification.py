"""One label per picture, or several: loss, mixing of pictures, metrics, and scores turned into a Classification.

B pictures in a batch, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..results import Classification, Failure
from ..weights.attached import attached
from .metrics import ENOUGH_MISTAKES, average_precision, fit_temperature, mean_known, top_k_hits


class Regularisation(Protocol):
    """The settings that shape the loss; 0 switches each off."""

    @property
    def label_smoothing(self) -> float | None: ...

    @property
    def mixup(self) -> float | None: ...

    @property
    def cutmix(self) -> float | None: ...


@dataclass(frozen=True)
class Mixed:
    """A batch ready for the loss: ``images`` (B, C, H, W), ``targets`` (B, K) of probabilities, ``indices`` (B,)."""

    images: Tensor
    targets: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Mixed:
        return Mixed(self.images[part], self.targets[part], self.indices[part])


class ClassificationTask:
    """Softmax over exclusive classes, or (``multi_label``) a sigmoid for each.

    ``class_weights`` (K,) multiply each class's part of the loss. Sampling, networks and optimisation are not its business.
    """

    name = "classification"

    def __init__(
        self, classes: Sequence[str], multi_label: bool, settings: Regularisation, class_weights: Tensor | None = None
    ) -> None:
        self.classes = tuple(classes)
        self.multi_label = multi_label
        self.settings = settings
        self.class_weights = class_weights

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The metric that decides which weights are best."""
        return ("map" if self.multi_label else "top1"), "max"

    def mix(self, batch: Any) -> Mixed:
        """Targets as probabilities, and, as the settings say, mixup or cutmix. Draws from torch's global generator."""
        targets = self.targets(batch.labels)
        mixed = Mixed(batch.images, targets, batch.indices)
        mixup, cutmix = self.settings.mixup or 0.0, self.settings.cutmix or 0.0
        if len(mixed) < 2 or not (mixup or cutmix):
            return mixed
        if cutmix and (not mixup or torch.rand(()).item() < 0.5):
            return cut_and_paste(mixed, sample_beta(cutmix))
        return blend(mixed, sample_beta(mixup))

    def targets(self, labels: Tensor) -> Tensor:
        """Labels (B,) of indices or (B, K) of zeros and ones to smoothed probabilities (B, K) (Szegedy et al., 1512.00567)."""
        smoothing = self.settings.label_smoothing or 0.0
        if self.multi_label:
            return labels * (1 - smoothing) + smoothing / 2
        hard = F.one_hot(labels, len(self.classes)).float()
        return hard * (1 - smoothing) + smoothing / len(self.classes)

    def loss(self, model: nn.Module, batch: Mixed) -> Tensor:
        """Mean cross-entropy of the batch, a scalar; binary per class for several labels."""
        logits = model(batch.images).float()
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        if self.multi_label:
            return F.binary_cross_entropy_with_logits(logits, batch.targets, pos_weight=weights)
        return F.cross_entropy(logits, batch.targets, weight=weights)

    def meter(self) -> ClassificationMeter:
        return ClassificationMeter(self.multi_label)


@dataclass(frozen=True)
class ClassificationDecoder:
    """Logits (B, K) as answers, the only way from the one to the other; equal fields give equal answers.

    ``temperature`` divides the logits (Guo et al., arXiv 1706.04599).
    """

    classes: tuple[str, ...]
    multi_label: bool = False
    temperature: float = 1.0

    @classmethod
    def of(cls, model: Any) -> ClassificationDecoder:
        """How ``model`` is read, by what loading leaves on it; raises :class:`UsageError` where it knows no classes."""
        left = attached(model)
        if not (classes := left.classes):
            raise UsageError(
                "This model knows no classes. Mend: give a trained one, as a run, a saved folder or from swinkit.load"
            )
        # of another kind of network nothing is known
        outputs = getattr(getattr(model, "config", None), "num_classes", len(classes))
        if len(classes) != outputs:
            raise UsageError(f"The model has {outputs} outputs and knows {len(classes)} classes. Mend: a name for each output")
        return cls(classes, left.multi_label, left.temperature)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, K) in 0..1: exclusive classes share 1, of several labels each is by itself."""
        scaled = logits / self.temperature
        return scaled.sigmoid() if self.multi_label else scaled.softmax(dim=-1)

    def __call__(
        self, outputs: Tensor, sources: Sequence[str | None], embeddings: Sequence[Sequence[float]] | None = None
    ) -> list[Classification | Failure]:
        """One answer per row of ``outputs``, in their order; what is not finite is no answer."""
        rows = self.probabilities(outputs).tolist()
        vectors: Sequence[Any] = embeddings or [None] * len(rows)
        return [
            Classification(self.classes, row, source, self.multi_label, embedding=vector)
            if all(map(math.isfinite, row))
            else Failure(source, "the model's answer is not finite")
            for row, source, vector in zip(rows, sources, vectors, strict=True)
        ]


class ClassificationMeter:
    """Loss and accuracy over an evaluation, all in 0..1 except the loss, which is in nats and unsmoothed.

    Ranks are those of logits, as in an :class:`~.evaluation.Evaluation`: probabilities of sure answers round to one and the same.
    The mean average precision is over the classes that have a picture, and left out where none has.
    """

    def __init__(self, multi_label: bool) -> None:
        self.multi_label = multi_label
        self.logits: list[Tensor] = []
        self.labels: list[Tensor] = []

    def update(self, model: nn.Module, batch: Any) -> None:
        self.logits.append(model(batch.images).float().cpu())
        self.labels.append(batch.labels.cpu())

    def compute(self) -> dict[str, float]:
        logits, labels = torch.cat(self.logits), torch.cat(self.labels)
        if self.multi_label:
            return self._several(logits, labels)
        loss = F.cross_entropy(logits, labels).item()
        ranks = (1, 5) if logits.shape[1] > 5 else (1,)  # among five classes or fewer, top-5 is always right
        return {"loss": loss, **{f"top{k}": float(top_k_hits(logits.numpy(), labels.numpy(), k).mean()) for k in ranks}}

    def calibration(self) -> dict[str, float]:
        """The temperature to divide logits by (Guo et al., arXiv 1706.04599), where there are mistakes enough to fit it."""
        logits, labels = torch.cat(self.logits).numpy(), torch.cat(self.labels).numpy()
        if self.multi_label or (logits.argmax(axis=1) != labels).sum() < ENOUGH_MISTAKES:
            return {}
        return {"temperature": round(fit_temperature(logits, labels), 4)}

    @staticmethod
    def _several(logits: Tensor, labels: Tensor) -> dict[str, float]:
        loss = F.binary_cross_entropy_with_logits(logits, labels).item()
        if not labels.any():  # no class has a picture to find, and the mean of nothing is no figure
            return {"loss": loss}
        precision = average_precision(logits.numpy(), labels.numpy().astype(bool))
        return {"loss": loss, "map": mean_known(precision)}


def sample_beta(alpha: float) -> float:
    """One draw of Beta(alpha, alpha) from torch's global generator."""
    parts = torch._sample_dirichlet(torch.full((1, 2), alpha))
    return float(parts[0, 0])


def blend(batch: Mixed, share: float) -> Mixed:
    """Mixup (Zhang et al., arXiv 1710.09412): each picture and target becomes ``share`` of itself, the rest another's."""
    order = torch.randperm(len(batch)).to(batch.images.device)
    images = torch.lerp(batch.images[order], batch.images, share)
    return replace(batch, images=images, targets=torch.lerp(batch.targets[order], batch.targets, share))


def cut_and_paste(batch: Mixed, share: float) -> Mixed:
    """CutMix (Yun et al., arXiv 1905.04899): a box of another picture is pasted; targets mix by the area that remained."""
    height, width = batch.images.shape[-2:]
    top, bottom, left, right = cut_box(height, width, share, torch.rand(2).tolist())
    order = torch.randperm(len(batch)).to(batch.images.device)
    images = batch.images.clone()
    images[..., top:bottom, left:right] = batch.images[order][..., top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return replace(batch, images=images, targets=torch.lerp(batch.targets[order], batch.targets, kept))


def cut_box(height: int, width: int, share: float, centre: Sequence[float]) -> tuple[int, int, int, int]:
    """Rows top to bottom and columns left to right of a box around ``centre`` (0..1), cut at the border.

    Uncut it covers ``1 - share`` of the picture, in the picture's proportions.
    """
    side = float(np.sqrt(1 - share))
    row, column = centre[0] * height, centre[1] * width
    top, bottom = (min(height, max(0, round(row + sign * side * height / 2))) for sign in (-1, 1))
    left, right = (min(width, max(0, round(column + sign * side * width / 2))) for sign in (-1, 1))
    return top, bottom, left, right


def balancing_weights(labels: np.ndarray, classes: int, multi_label: bool) -> Tensor:
    """Weights (K,) that soften a skew: the inverse square root of each class's frequency, with mean 1 over the pictures.

    Labels (n,) of indices, or (n, K) of zeros and ones, where the weight is of the positive part.
    """
    if multi_label:
        positive = np.maximum(labels.sum(axis=0), 1)
        return torch.from_numpy(np.sqrt(np.maximum(1.0, (len(labels) - positive) / positive))).float()
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    weights = 1 / np.sqrt(np.maximum(counts, 1))
    return torch.from_numpy(weights * counts.sum() / (weights * counts).sum()).float()
