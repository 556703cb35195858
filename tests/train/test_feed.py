"""What a run is fed with ends in the same weights, whatever is kept in memory and whoever loads it."""

from __future__ import annotations

import signal
import time
from multiprocessing import active_children

import pytest

from swinkit.data.augment import Augmentation
from swinkit.data.layouts import open_data
from swinkit.data.loader import eval_batches
from swinkit.data.transforms import evaluation
from swinkit.errors import Interrupted, SwinkitError
from swinkit.preprocessing import Preprocessing
from swinkit.train import fit, resume, session
from swinkit.train.feed import Feed
from swinkit.train.plan import load_first

from ..data.pictures import class_folders
from .pictures import TINY
from .running import stop_at

COUNT, PICTURE = 48, 3 * 12 * 16  # pictures, and bytes of one
SETTINGS = {
    **TINY,
    "val": 0.25,
    "lr": 0.01,
    "augment": {"crop_scale": (0.5, 1.0), "flip": True, "randaugment": 5, "erasing": 0.5},
}


@pytest.fixture
def data(tmp_path):
    return class_folders(tmp_path / "pictures", each=COUNT // 2)


@pytest.mark.parametrize(("size", "seconds"), [(8, 60), (2048, 10240)])
def test_a_worker_has_time_for_every_picture_of_its_batch(size, seconds, data, monkeypatch):
    def started(source, number, timeout):
        raise InterruptedError(timeout)

    monkeypatch.setattr("swinkit.data.loader.Workers", started)
    feed = Feed(open_data(data), range(COUNT), (), Preprocessing(), Augmentation(), size, 0, workers=1)
    evaluated = eval_batches(feed.collection, feed.train, evaluation(feed.preprocessing), size, workers=1)
    for batches in (lambda: feed.training(0), lambda: next(evaluated)):
        with pytest.raises(InterruptedError, match=f"^{seconds}"):
            batches()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_ends_with_the_same_weights_whatever_is_kept_and_whoever_loads(workers, data, tmp_path, monkeypatch):
    plain = fit(data, out=tmp_path / "plain", workers=0, cache=0, **SETTINGS)
    keeping = fit(data, out=tmp_path / "keeping", workers=workers, **SETTINGS)
    assert (keeping.sha256, keeping.validation) == (plain.sha256, plain.validation)
    with monkeypatch.context() as patched:
        stop_at(patched, 6)
        with pytest.raises(Interrupted):
            fit(data, out=tmp_path / "parts", workers=workers, **SETTINGS)
    assert not active_children()
    parts = resume(tmp_path / "parts", {"workers": 2 - workers, "cache": 0.01})
    assert (parts.sha256, parts.validation) == (plain.sha256, plain.validation)
    assert not active_children()


@pytest.mark.parametrize(
    ("room", "workers", "kept", "held"),
    [(0, 0, 0, 0), (10**9, 0, 1, COUNT * PICTURE), (10**9, 2, 1, COUNT * PICTURE), (24 * PICTURE, 0, 0.5, 24 * PICTURE)],
)
def test_the_plan_knows_which_share_of_the_pictures_fits(room, workers, kept, held, data):
    pictures = open_data(data)
    looks = Augmentation(crop_scale=(0.5, 1.0))
    feed = Feed(pictures, range(36), range(36, COUNT), Preprocessing(size=(8, 8)), looks, 8, 0, workers, room)
    batch, loading = load_first(feed)
    assert len(batch) == 8
    assert (loading.kept, loading.gigabytes) == (kept, held / 1e9)
    assert 0 < loading.later <= loading.first
    assert not active_children()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_fault_04_a_worker_that_dies_while_nothing_is_loaded_ends_in_a_clear_error(data, tmp_path, monkeypatch):
    def last_words(*_: object) -> None:
        active_children()[0].kill()
        time.sleep(5)  # in which torch tells of it

    monkeypatch.setattr(session, "save_trained", last_words)
    with pytest.raises(SwinkitError, match=r"^A loader worker died.*workers=0.*cache=0"):
        fit(data, out=tmp_path / "run", workers=2, **SETTINGS)
