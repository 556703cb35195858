"""Batches of a collection: the same bits in the same order whatever the number of workers and wherever one starts."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import DataError, SwinkitError
from .collection import Collection, shown
from .decode import Undecodable
from .randomness import ORDER, keys
from .transforms import EvaluationTransform, TrainingTransform, sample_keys

TIMEOUT = 60.0  # seconds without a batch after which a worker, or the disk that it reads from, is taken to stand still


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


def train_batches(
    collection: Collection, batches: list[np.ndarray], transform: TrainingTransform, epoch: Epoch, workers: int = 0
) -> Iterator[Batch]:
    """``batches`` of indices, some or all of ``epoch``, augmented as it is for each picture in that epoch.

    ``workers`` processes decode (none for pictures held in memory, where they would only slow it down). Raises
    :class:`~swinkit.data.decode.Undecodable` naming a picture that broke, and :class:`SwinkitError` for a worker that died or
    gave nothing for :data:`TIMEOUT` seconds.
    """
    return _deliver(_Batches(collection, batches, transform, epoch), workers, TIMEOUT)


def eval_batches(
    collection: Collection,
    indices: Sequence[int],
    transform: EvaluationTransform,
    batch_size: int,
    workers: int = 0,
    timeout: float = TIMEOUT,
) -> Iterator[Batch]:
    """All of ``indices`` in their order, for ``timeout`` see :func:`train_batches`."""
    batches = in_batches(np.asarray(indices, np.int64), batch_size, drop_last=False)
    return _deliver(_Batches(collection, batches, transform, None), workers, timeout)


class _Batches(Dataset[Batch | DataError]):
    """Whole batches by number; a picture that cannot be used comes back as its error, which the main process raises."""

    def __init__(
        self, collection: Collection, batches: list[np.ndarray], transform: EvaluationTransform, epoch: Epoch | None
    ) -> None:
        self.collection, self.batches, self.transform, self.epoch = collection, batches, transform, epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch | DataError:
        indices = self.batches[number]
        try:
            images = self._whole(indices) if self.collection.pixels is not None else self._one_by_one(indices)
        except DataError as error:
            return error
        labels, epoch = self.collection.label_matrix(indices), self.epoch.number if self.epoch else 0
        return Batch(images, torch.from_numpy(labels), torch.from_numpy(indices.copy()), epoch)

    def _whole(self, indices: np.ndarray) -> Tensor:
        assert self.collection.pixels is not None
        pictures = self.collection.pixels[indices]
        if self.epoch is None:
            return self.transform.batch(pictures)
        return self.transform.batch(pictures, sample_keys(*self.epoch, indices))  # type: ignore[call-arg]

    def _one_by_one(self, indices: np.ndarray) -> Tensor:
        chance = () if self.epoch is None else sample_keys(*self.epoch, indices)
        images = []
        for place, index in enumerate(indices):
            picture = self.collection.read(int(index), self.transform.least)
            images.append(self.transform(picture, *chance[place : place + 1]))
        if len({image.shape for image in images}) > 1:
            raise DataError(
                f"Pictures of unequal size in one batch: {sorted({tuple(image.shape[1:]) for image in images})}. "
                'Mend: preprocessing resize="shortest" or "squash", or a batch size of 1'
            )
        return torch.stack(images)


def _deliver(batches: _Batches, workers: int, timeout: float) -> Iterator[Batch]:
    if workers == 0 or not len(batches) or batches.collection.pixels is not None:
        made: Iterator[Batch | DataError] = (batches[number] for number in range(len(batches)))
    else:
        made = _from_workers(batches, workers, timeout)
    for item in made:
        if isinstance(item, Undecodable):
            raise Undecodable(
                f"{item.reason} (it was readable when the run began, or was never checked)", shown(str(item.source))
            )
        if isinstance(item, DataError):
            raise DataError(str(item))  # not itself, whose traceback would keep the workers alive
        yield item


def _from_workers(batches: _Batches, workers: int, timeout: float) -> Iterator[Batch | DataError]:
    loader = DataLoader(
        batches, batch_size=None, num_workers=min(workers, len(batches)), timeout=timeout, worker_init_fn=_settle_worker,
        generator=torch.Generator(),  # its own, or starting workers would draw from the global one
    )  # fmt: skip
    with _sigterm_held_back():
        iterator = iter(loader)
    with explained_workers(timeout):
        try:
            yield from iterator
        except RuntimeError:
            for worker in getattr(iterator, "_workers", ()):
                with contextlib.suppress(RuntimeError):  # in which torch tells of the worker that is killed here
                    worker.kill()  # a stopped one would not hear a polite end, and joining it would hang
                    worker.join()
            raise


@contextlib.contextmanager
def explained_workers(timeout: float = TIMEOUT) -> Iterator[None]:
    """Whatever uses batches stands in this context: torch's signal handler tells of a dead worker by a RuntimeError wherever
    the process happens to be, which becomes a :class:`SwinkitError` here."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader" not in str(error):
            raise
        raise SwinkitError(_worker_reason(str(error), timeout)) from None


def _worker_reason(message: str, timeout: float) -> str:
    if "timed out" in message:
        return (
            f"No loader worker gave a batch for {timeout:g} seconds. A worker is stopped, or the disk or network drive with the pictures "
            "does not answer. Mend: look at the drive, then resume the run; --set workers=0 reads without workers"
        )
    again = (
        ""
        if multiprocessing.get_start_method() == "fork"
        else 'Or a script calls swinkit outside of `if __name__ == "__main__":`, and each worker runs it again. '
    )
    return (
        f"A loader worker died: {message.splitlines()[0].rstrip('. ')}. Often the machine ran out of memory. {again}"
        "Mend: resume the run with fewer workers, --set workers=0 needs none"
    )


@contextlib.contextmanager
def _sigterm_held_back() -> Iterator[None]:
    """Workers that start within inherit this thread's mask: a SIGTERM waits until they know whom to heed."""
    if not hasattr(signal, "sigwaitinfo"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process decides what it means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the main process's handler, which a fork inherits
    parent = parent_process()
    if parent is not None and hasattr(signal, "sigwaitinfo"):  # macOS cannot tell who sent a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_heed, args=(parent.pid,), daemon=True).start()


def _heed(parent: int | None) -> None:
    """End at a SIGTERM of ``parent`` alone: ``timeout``, systemd and Slurm send it to every process, as a request to save."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
