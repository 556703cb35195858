from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from multiprocessing import active_children, get_start_method

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit.data.arrays import Undecodable
from swinkit.data.augment import Augmentation
from swinkit.data.collection import Collection
from swinkit.data.layouts import open_data
from swinkit.data.loader import (
    Batch,
    Epoch,
    Loader,
    epoch_order,
    eval_batches,
    in_batches,
)
from swinkit.data.transforms import evaluation, training
from swinkit.data.workers import _sigterm_held_back, explained_workers
from swinkit.errors import DataError, SwinkitError
from swinkit.preprocessing import Preprocessing

from .pictures import class_folders

SMALL = Preprocessing(size=(8, 8), interpolation="bilinear")
GRAY = Preprocessing(size=(8, 8), resize="squash", channels=1, mean=(0.5,), std=(0.5,))
FULL = Augmentation(flip=True, crop_scale=(0.4, 1.0), randaugment=9, color_jitter=0.2, erasing=0.5)
LIGHT = Augmentation(flip=True, shift=1, erasing=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Collection:
    return open_data(class_folders(tmp_path_factory.mktemp("pictures"), each=7))


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) and torch.equal(a.indices, b.indices)
        for a, b in zip(one, other, strict=True)
    )


def train_batches(data, batches, transform, epoch, workers=0) -> list[Batch]:
    """An epoch of its own, with nothing kept before or after it."""
    with Loader(data, transform, None, workers) as loader:
        return list(loader.training(batches, epoch))


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bits(folder, workers):
    def batches(count: int) -> list[Batch]:
        plan = in_batches(epoch_order(range(14), Epoch(5, 2)), 3, drop_last=False)
        return train_batches(folder, plan, training(SMALL, FULL), Epoch(5, 2), count)

    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    assert same(batches(workers), batches(0))
    assert torch.equal(torch.rand(2), expected)  # the global generator was not touched
    evaluated = [list(eval_batches(folder, range(14), evaluation(SMALL), 4, workers=count)) for count in (0, workers)]
    assert same(*evaluated)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32), epoch=st.integers(0, 50), size=st.integers(1, 9), start=st.integers(0, 8), drop=st.booleans()
)
def test_starting_late_yields_the_very_same_batches(seed, epoch, size, start, drop):
    data = open_data("digits")
    indices, transform = range(100, 130), training(GRAY, LIGHT)
    this = Epoch(seed, epoch)
    plan = in_batches(epoch_order(indices, this), size, drop)
    whole = train_batches(data, plan, transform, this)
    assert same(train_batches(data, plan[start:], transform, this), whole[start:])
    assert {batch.epoch for batch in whole} == {epoch}
    seen = torch.cat([batch.indices for batch in whole]).tolist()
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(indices)
    assert len(seen) == (30 // size * size if drop else 30)


@settings(deadline=None)
@given(count=st.integers(0, 50), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 1000))
def test_order_is_a_permutation_of_seed_and_epoch(count, seed, epoch):
    indices = np.arange(count) * 3 + 1
    order = epoch_order(indices, Epoch(seed, epoch))
    assert sorted(order) == indices.tolist()
    assert np.array_equal(order, epoch_order(indices[::-1], Epoch(seed, epoch)))
    if count > 15:
        assert not np.array_equal(order, epoch_order(indices, Epoch(seed, epoch + 1)))
        assert not np.array_equal(order, epoch_order(indices, Epoch(seed + 1, epoch)))


@pytest.mark.parametrize("workers", [0, 2])
def test_no_pictures_are_no_batches(folder, workers):
    assert list(eval_batches(folder, [], evaluation(SMALL), 3, workers)) == []


def test_an_epoch_is_never_empty():
    assert [len(batch) for batch in in_batches(np.arange(3), 8, drop_last=True)] == [3]
    assert [len(batch) for batch in in_batches(np.arange(19), 8, drop_last=True)] == [8, 8]
    assert [len(batch) for batch in in_batches(np.arange(19), 8, drop_last=False)] == [8, 8, 3]


def test_labels_of_both_kinds(folder, tmp_path):
    (batch,) = eval_batches(folder, [0, 7], evaluation(SMALL), 4)
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [0, 1]
    (tmp_path / "m.csv").write_text(f"file_name,labels\n{folder.path(0)},b;a\n{folder.path(1)},\n")
    (batch,) = eval_batches(open_data(tmp_path / "m.csv"), [0, 1], evaluation(SMALL), 4)
    assert batch.labels.dtype == torch.float32
    assert batch.labels.tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize("workers", [0, 1])
def test_fault_03_a_picture_that_breaks_later_is_named_not_substituted(tmp_path, workers):
    data = open_data(class_folders(tmp_path))
    data.path(3).write_bytes(b"")
    with pytest.raises(Undecodable, match=r"cat/3\.png: zero bytes"):
        list(eval_batches(data, range(12), evaluation(SMALL), 2, workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_unequal_sizes_in_one_batch_are_explained(workers, tmp_path):
    class_folders(tmp_path, ("a",), 1, (12, 16))
    class_folders(tmp_path, ("b",), 1, (10, 16))
    with pytest.raises(DataError, match=r"^Pictures of unequal size in one batch: .*batch size of 1$"):
        list(eval_batches(open_data(tmp_path), [0, 1], evaluation(Preprocessing(resize="none")), 2, workers))


class Slow:
    """A transform that takes its time, so that a signal meets a worker at work."""

    least = None

    def fixed(self, pictures: np.ndarray) -> torch.Tensor:
        time.sleep(0.3)
        return torch.zeros(1, 3, 4, 4)

    def finished(self, images: torch.Tensor, keys: np.ndarray | None = None) -> torch.Tensor:
        return images


def interrupted(folder: Collection, number: int, timeout: float) -> tuple[str, float]:
    """What is said, and after how many seconds, when the only worker gets signal ``number``; it must be gone then."""
    batches = eval_batches(folder, list(range(14)) * 4, Slow(), 2, workers=1, timeout=timeout)  # type: ignore[arg-type]
    next(batches)
    (worker,) = active_children()
    started = time.monotonic()
    with pytest.raises(SwinkitError) as caught, explained_workers():  # noqa: PT012  torch may tell of it before the next batch
        os.kill(worker.pid, number)
        list(batches)
    seconds = time.monotonic() - started
    worker.join(5)
    assert not worker.is_alive()
    return str(caught.value), seconds


posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")


@posix
def test_fault_04_killed_worker_ends_in_a_clear_error(folder):
    message, seconds = interrupted(folder, signal.SIGKILL, 60)
    assert message.startswith("A loader worker died")
    assert ". ." not in message
    assert "workers=0" in message
    assert seconds < 10


@posix
@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs sigwaitinfo")
def test_a_worker_leaves_it_to_the_main_process_what_sigterm_means(folder):
    batches = eval_batches(folder, list(range(14)), Slow(), 2, workers=1)  # type: ignore[arg-type]
    next(batches)
    (worker,) = active_children()
    # as ``timeout`` does: from another process, since the main one may end its workers
    subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    assert len(list(batches)) == 6
    batches = eval_batches(folder, list(range(14)), Slow(), 2, workers=1)  # type: ignore[arg-type]
    next(batches)
    (worker,) = active_children()
    worker.terminate()
    worker.join(5)
    assert not worker.is_alive()
    batches.close()


@posix
def test_fault_04_a_worker_killed_while_the_network_computes(folder):
    batches = eval_batches(folder, range(14), Slow(), 2, workers=1)
    next(batches)
    with pytest.raises(SwinkitError, match=r"A loader worker died.*workers=0"), explained_workers():  # noqa: PT012  anywhere here
        active_children()[0].kill()
        for _ in range(1000):
            time.sleep(0.01)


@posix
def test_fault_05_stopped_worker_ends_in_a_clear_error(folder):
    message, seconds = interrupted(folder, signal.SIGSTOP, 15)
    assert message.startswith("No loader worker gave a batch for 15 seconds")
    assert seconds < 60


@posix
def test_workers_end_when_the_reader_stops_early(folder):
    batches = eval_batches(folder, range(14), evaluation(SMALL), 2, workers=1)
    next(batches)
    (worker,) = active_children()
    batches.close()
    worker.join(10)
    assert not worker.is_alive()


@pytest.fixture
def heeded():
    """SIGINT as in a shell's foreground; in its background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(get_start_method() != "fork", reason="only a fork has hooks in which an interrupt is lost")
@pytest.mark.usefixtures("heeded")
def test_a_ctrl_c_while_a_worker_is_forked_or_ended_is_not_lost(folder):
    armed, others = [signal.SIGINT], active_children()
    os.register_at_fork(before=lambda: armed and signal.raise_signal(armed.pop()))
    batches = eval_batches(folder, range(14), evaluation(SMALL), 2, workers=1)
    with pytest.raises(KeyboardInterrupt):
        next(batches)
    assert not set(active_children()).difference(others)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    loader = Loader(folder, None, evaluation(SMALL), workers=1)
    next(loader.evaluation(range(14), 2))
    (worker,) = set(active_children()).difference(others)
    weakref.finalize(loader._workers._loader, signal.raise_signal, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loader.close()
    assert not worker.is_alive()


def test_a_batch_moves_to_the_device_of_the_network():
    batch = Batch(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]), torch.tensor([5, 7]))
    moved = batch.to(torch.device("meta"))
    assert (moved.images.device.type, moved.labels.device.type) == ("meta", "meta")
    assert moved.indices.tolist() == [5, 7]


@pytest.mark.skipif(
    not hasattr(signal, "sigwaitinfo"), reason="where a signal's sender is unknown, workers do not choose whom to heed"
)
def test_workers_are_born_deaf_to_sigterm_until_they_know_whom_to_heed():
    tell = "import signal; print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with _sigterm_held_back():
        within = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout
    behind = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout
    assert (within, behind) == ("True\n", "False\n")
