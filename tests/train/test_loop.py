"""Where a run stands is its step alone: wherever it was stopped, it goes on with the very batches that were still to come."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swinkit.data.augment import Augmentation
from swinkit.data.layouts import open_data
from swinkit.preprocessing import Preprocessing
from swinkit.train.feed import Feed
from swinkit.train.loop import Progress, Trainer, in_parts
from swinkit.train.settings import TrainSettings

GRAY = Preprocessing(size=(8, 8), resize="squash", channels=1, mean=(0.5,), std=(0.5,))
PLAIN = Augmentation()


class Walk(Trainer):
    """The loop without a network: it notes which pictures every step would learn from."""

    def __init__(self, feed: Feed, epochs: int, step: int = 0) -> None:
        self.feed, self.settings, self.progress = feed, TrainSettings(), Progress(step)
        self.steps = epochs * feed.steps_per_epoch
        self.seen: list[list[int]] = []

    def step_or_save(self, batch: Any, watcher: Any, save: Any) -> tuple[float, float]:
        self.seen.append([batch.epoch, *batch.indices.tolist()])
        return 0.0, 0.0

    def evaluate(self, watcher: Any) -> None:
        self.progress.unmeasured = False

    def state_dict(self) -> dict[str, Any]:
        return {}


class Stopper:
    """A watcher that ends the walk behind ``step``."""

    def __init__(self, step: int | None = None) -> None:
        self.step, self.reached = step, 0

    def stepped(self, trainer: Trainer, loss: float, rate: float) -> None:
        self.reached = trainer.progress.step

    def save_due(self) -> bool:
        return False

    def stop(self) -> str | None:
        return "enough" if self.reached == self.step else None


@given(
    count=st.integers(1, 20), batch_size=st.integers(1, 9), seed=st.integers(0, 2**32), epochs=st.integers(1, 3), data=st.data()
)  # fmt: skip
def test_a_run_stopped_at_any_step_sees_what_one_never_stopped_does(count, batch_size, seed, epochs, data) -> None:
    feed = Feed(open_data("digits"), range(100, 100 + count), (), GRAY, PLAIN, batch_size, seed)
    saved: list[int] = []

    def keep(state: Any, step: int) -> None:
        saved.append(step)

    whole, begun = Walk(feed, epochs), Walk(feed, epochs)
    assert whole.run(Stopper(), keep) is None
    step = data.draw(st.integers(1, whole.steps), label="step")
    begun.run(Stopper(step), keep)
    rest = Walk(feed, epochs, step)
    rest.run(Stopper(), keep)
    assert saved[:2] == [whole.steps, step]
    assert begun.seen + rest.seen == whole.seen
    assert len(begun.seen) == step
    length = min(count, batch_size)
    for epoch in range(epochs):
        parts = whole.seen[epoch * feed.steps_per_epoch : (epoch + 1) * feed.steps_per_epoch]
        assert [(part[0], len(part) - 1) for part in parts] == [(epoch, length)] * feed.steps_per_epoch
        pictures = [index for part in parts for index in part[1:]]
        assert len(set(pictures)) == len(pictures) <= count


def test_a_run_beyond_its_last_step_is_over() -> None:
    feed = Feed(open_data("digits"), range(8), (), GRAY, PLAIN, 8, 0)
    beyond = Walk(feed, epochs=1, step=2)
    assert beyond.run(Stopper(), lambda state, step: None) is None
    assert beyond.seen == []


class Judged(Trainer):
    """The loop's judgement alone, of a task that is judged by ``monitor``."""

    def __init__(self, monitor: tuple[str, str]) -> None:
        self.progress, self.task = Progress(), SimpleNamespace(monitor=monitor)

    def stand(self, **metrics: float) -> tuple[bool, int, int]:
        """Whether ``metrics`` of one more step are the best, of which step these are, and for how many evaluations none were better."""
        self.progress.step += 1
        return self.judge(metrics), self.progress.best_step, self.progress.stale


def test_equal_figures_are_parted_by_the_loss() -> None:
    run = Judged(("top1", "max"))
    assert run.stand(top1=0.9, loss=0.5) == (True, 1, 0)
    assert run.stand(top1=1.0, loss=0.6) == (True, 2, 0)
    assert run.stand(top1=1.0, loss=0.1) == (True, 3, 0)
    assert run.stand(top1=0.9, loss=0.0) == (False, 3, 1)
    assert run.stand(top1=1.0, loss=0.1) == (False, 3, 2)
    assert run.stand(top1=1.0, loss=math.nan) == (False, 3, 3)
    assert run.stand(top1=1.0) == (False, 3, 4)
    assert run.stand(loss=0.0) == (False, 3, 4)
    run.progress = Progress(step=3, best=1.0, best_step=2, stale=1)  # as an older version saved it
    assert run.stand(top1=1.0, loss=0.1) == (True, 4, 0)


def test_a_loss_that_only_stays_is_no_better() -> None:
    run = Judged(("loss", "min"))
    assert [run.stand(loss=value) for value in (0.5, 0.5, 0.4)] == [(True, 1, 0), (False, 1, 1), (True, 3, 0)]


@given(size=st.integers(1, 500), parts=st.integers(1, 40))
def test_parts_cover_a_batch_once_and_are_no_more_than_asked_for(size, parts) -> None:
    slices = in_parts(size, parts)
    assert [index for part in slices for index in range(size)[part]] == list(range(size))
    assert len(slices) <= parts
    lengths = [part.stop - part.start for part in slices]
    assert min(lengths) > 0
    assert set(lengths[:-1]) <= {max(lengths)}
