"""What the loop is fed: batches of the training pictures by position, and of the validation pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..data.augment import Augmentation
from ..data.collection import Collection
from ..data.loader import Epoch, Loader, epoch_order, in_batches
from ..data.transforms import evaluation, training
from ..data.workers import patience
from ..preprocessing import Preprocessing


@dataclass(frozen=True)
class Feed:
    """Batches are a function of (seed, epoch, position): any number of workers, any ``room`` and any start yield the same bits.

    ``room`` is how many bytes of decoded pictures are kept from epoch to epoch. One iteration at a time: a new one ends the one before.
    """

    collection: Collection
    train: Sequence[int]
    val: Sequence[int]
    preprocessing: Preprocessing
    augmentation: Augmentation
    batch_size: int
    seed: int
    workers: int = 0
    room: int = 0

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.train) // self.batch_size)

    @cached_property
    def loader(self) -> Loader:
        looks = training(self.preprocessing, self.augmentation), evaluation(self.preprocessing)
        return Loader(self.collection, *looks, self.workers, self.room, patience(self.batch_size))

    def training(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Batches of ``epoch`` from position ``start``."""
        this = Epoch(self.seed, epoch)
        batches = in_batches(epoch_order(self.train, this), self.batch_size, drop_last=True)[start:]
        return self.loader.training(batches, this)

    def evaluation(self, indices: Sequence[int] | None = None) -> Iterator[Any]:
        """All of ``indices``, the validation pictures if None, unaugmented and in order."""
        return self.loader.evaluation(self.val if indices is None else indices, self.batch_size)

    def close(self) -> None:
        """End the workers; what asks for batches later starts others."""
        if (loader := self.__dict__.pop("loader", None)) is not None:
            loader.close()

    def names(self, indices: Sequence[int]) -> list[str]:
        return [self.collection.samples[index].source for index in indices]
