"""Batches of a collection: the same bits in the same order whatever the number of workers, whatever is kept, and wherever one starts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import DataError
from .arrays import Undecodable
from .cache import Kept
from .collection import Collection, shown
from .randomness import ORDER, keys, mix
from .transforms import EvaluationTransform, TrainingTransform, sample_keys
from .workers import TIMEOUT, Workers, patience


@dataclass(frozen=True)
class Batch:
    """``images`` (B, C, H, W) float32; ``labels`` (B,) int64, -1 where unlabelled, or (B, classes) float32; ``indices`` (B,) int64.

    ``epoch`` is the pass that the batch belongs to, 0 in an evaluation.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    epoch: int = 0

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, part: slice) -> Batch:
        return Batch(self.images[part], self.labels[part], self.indices[part], self.epoch)

    def to(self, device: torch.device) -> Batch:
        """The batch with its pictures and labels on ``device``; the indices name files and stay."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


class Epoch(NamedTuple):
    """Which pass over the pictures, of which run: what order and augmentation are a function of, with the picture's index."""

    seed: int
    number: int


def epoch_order(indices: Sequence[int], epoch: Epoch) -> np.ndarray:
    """``indices`` in the order of ``epoch``."""
    chosen = np.asarray(indices, np.int64)
    return chosen[np.argsort(keys(*epoch, chosen, ORDER), kind="stable")]


def in_batches(order: np.ndarray, batch_size: int, drop_last: bool) -> list[np.ndarray]:
    """``order`` in batches; ``drop_last`` leaves out a short last one, unless it is the only one."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return batches[:-1] if drop_last and len(batches) > 1 and len(batches[-1]) < batch_size else batches


def eval_batches(
    collection: Collection,
    indices: Sequence[int],
    transform: EvaluationTransform,
    batch_size: int,
    workers: int = 0,
    timeout: float | None = None,
) -> Iterator[Batch]:
    """:meth:`Loader.evaluation`, once; ``timeout`` None is the :func:`~swinkit.data.workers.patience` for a batch."""
    batches = math.ceil(len(indices) / batch_size)
    with Loader(collection, None, transform, min(workers, batches), timeout=timeout or patience(batch_size)) as loader:
        yield from loader.evaluation(indices, batch_size)


class Loader:
    """Batches of one collection, pass after pass, by ``workers`` processes that stay, from pictures that are kept, ``room`` bytes of them.

    Where pictures are kept, each batch is parted among the workers: a picture always comes from the same one, who keeps it. Pictures held
    in memory need neither. A pass ends the one before. It raises :class:`~swinkit.data.arrays.Undecodable` naming a picture that broke,
    and :class:`SwinkitError` for a worker that died or gave nothing for ``timeout`` seconds.
    """

    def __init__(
        self, collection: Collection, training: TrainingTransform | None, evaluation: EvaluationTransform | None,
        workers: int = 0, room: int = 0, timeout: float = TIMEOUT,
    ) -> None:  # fmt: skip
        number = 0 if collection.pixels is not None else workers
        self.source = Source(collection, training, evaluation, Kept(room // max(1, number)))
        self._workers = Workers(self.source, number, timeout) if number else None
        self._parts = number if number and room else 1
        self._passes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        if self._workers is not None:
            self._workers.close()

    def training(self, batches: list[np.ndarray], epoch: Epoch) -> Iterator[Batch]:
        """``batches`` of indices, some or all of ``epoch``, augmented as it is for each picture in that epoch."""
        return self._deliver(batches, epoch)

    def evaluation(self, indices: Sequence[int], batch_size: int) -> Iterator[Batch]:
        """All of ``indices`` in their order."""
        return self._deliver(in_batches(np.asarray(indices, np.int64), batch_size, drop_last=False), None)

    def _deliver(self, batches: list[np.ndarray], epoch: Epoch | None) -> Iterator[Batch]:
        # mixed, since every second picture may be left to another part of the split
        owners = [mix(indices.astype(np.uint64)) % np.uint64(self._parts) for indices in batches]
        asked = [
            Request(indices[owner == part], epoch)
            for indices, owner in zip(batches, owners, strict=True)
            for part in range(self._parts)
        ]
        self._passes = number = self._passes + 1
        made = (self.source[request] for request in asked) if self._workers is None else self._workers.answers(asked)
        for indices, owner in zip(batches, owners, strict=True):
            if number != self._passes:
                raise RuntimeError(
                    "Another pass of this loader has begun, which ended this one. Mend: finish one, or take a loader for each"
                )
            images = joined([usable(next(made)) for _ in range(self._parts)], owner)
            labels = torch.from_numpy(self.source.collection.label_matrix(indices))
            yield Batch(images, labels, torch.from_numpy(indices.copy()), epoch.number if epoch else 0)


class Request(NamedTuple):
    """Pictures of a batch as they are in ``epoch``, or, where it is None, in an evaluation."""

    indices: np.ndarray
    epoch: Epoch | None


class Source(Dataset[Tensor | DataError]):
    """Pictures on :class:`Request`; one that cannot be used comes back as its error, which the main process raises."""

    def __init__(
        self, collection: Collection, training: TrainingTransform | None, evaluation: EvaluationTransform | None, kept: Kept
    ) -> None:
        self.collection, self.training, self.evaluation, self.kept = collection, training, evaluation, kept

    def __getitem__(self, request: Request) -> Tensor | DataError:
        indices, epoch = request
        transform: Any = self.evaluation if epoch is None else self.training
        keys = None if epoch is None else sample_keys(*epoch, indices)
        try:
            if self.collection.pixels is not None:
                return transform.batch(self.collection.pixels[indices], keys)
            each = [None] * len(indices) if keys is None else keys[:, None]
            return stacked(
                [transform.finished(self._fixed(transform, int(i))[None], key) for i, key in zip(indices, each, strict=True)]
            )
        except DataError as error:
            return error

    def _fixed(self, transform: EvaluationTransform, index: int) -> Tensor:
        def make() -> Tensor:
            return transform.fixed(self.collection.read(index, transform.least)[None])[0]

        return self.kept.get((transform is self.training, index), make)


def usable(made: Tensor | DataError) -> Tensor:
    if isinstance(made, Undecodable):
        raise Undecodable(f"{made.reason} (it was readable when the run began, or was never checked)", shown(str(made.source)))
    if isinstance(made, DataError):
        raise DataError(str(made))  # not itself, whose traceback would keep the workers alive
    return made


def stacked(pictures: list[Tensor]) -> Tensor:
    """Batches as one; where there is none, a tensor of nothing."""
    check_alike(pictures)
    return torch.cat(pictures) if pictures else torch.empty(0)


def joined(parts: list[Tensor], owner: np.ndarray) -> Tensor:
    """The pictures of each of ``parts``, some of which may have none, in the places where ``owner`` (B,) says its number."""
    if len(parts) == 1:
        return parts[0]
    filled = {number: part for number, part in enumerate(parts) if len(part)}
    check_alike(list(filled.values()))
    first = next(iter(filled.values()))
    whole = first.new_empty(len(owner), *first.shape[1:])
    for number, part in filled.items():
        whole.index_copy_(0, torch.from_numpy(np.flatnonzero(owner == number)), part)
    return whole


def check_alike(pictures: list[Tensor]) -> None:
    """Raises :class:`DataError` where batches differ in height or width."""
    if len(sizes := {tuple(images.shape[2:]) for images in pictures}) > 1:
        raise DataError(
            f"Pictures of unequal size in one batch: {sorted(sizes)}. "
            'Mend: preprocessing resize="shortest" or "squash", or a batch size of 1'
        )
