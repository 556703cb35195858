"""What the loop is fed: batches of the training pictures by position, and of the validation pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.augment import Augmentation
from ..data.collection import Collection
from ..data.loader import Epoch, epoch_order, eval_batches, in_batches, train_batches
from ..data.transforms import evaluation, training
from ..preprocessing import Preprocessing


@dataclass(frozen=True)
class Feed:
    """Batches are a function of (seed, epoch, position): any number of workers and any start yield the same bits."""

    collection: Collection
    train: Sequence[int]
    val: Sequence[int]
    preprocessing: Preprocessing
    augmentation: Augmentation
    batch_size: int
    seed: int
    workers: int = 0

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.train) // self.batch_size)

    def training(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Batches of ``epoch`` from position ``start``."""
        this = Epoch(self.seed, epoch)
        batches = in_batches(epoch_order(self.train, this), self.batch_size, drop_last=True)[start:]
        return train_batches(self.collection, batches, training(self.preprocessing, self.augmentation), this, self.workers)

    def evaluation(self, indices: Sequence[int] | None = None) -> Iterator[Any]:
        """All of ``indices``, the validation pictures if None, unaugmented and in order."""
        chosen = self.val if indices is None else indices
        transform = evaluation(self.preprocessing)
        return eval_batches(self.collection, chosen, transform, self.batch_size, workers=self.workers)

    def names(self, indices: Sequence[int]) -> list[str]:
        return [self.collection.samples[index].source for index in indices]
