"""What a person and the run folder hear of a run: progress on stderr, metrics.csv, log.txt, TensorBoard."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..timing import duration
from ..weights.files import save_model
from .constancy import bound
from .interrupt import Interruption, until
from .loop import Trainer
from .plan import LOOKING
from .provenance import learned_from
from .recipe import recipe_of
from .run import RunFolder

SHARE = 50  # saving may take so much less time than what lies between two saves
KEEP_EVERY = 60.0  # seconds between two models of a run that keeps its last weights anyway
WARNING = "warning: "  # begins what is said and is more than a note
PACKAGE = __name__.partition(".")[0]


@dataclass
class EpochSums:
    """What the row of metrics.csv for an unfinished epoch is made of: losses summed over ``steps``, the seconds that these took, and the
    learning rate of the last."""

    losses: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    rate: float = 0.0


class Display:
    """A progress bar on a terminal's stderr, plain lines elsewhere, nothing when ``quiet``."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self.bar: Progress | None = None

    def say(self, message: str) -> None:
        self.console.print(message, markup=False)

    def checked(self, done: int, total: int) -> None:
        """``done`` of ``total`` pictures were looked at."""
        if self.bar is None:
            self.begin(done, total)
        self.advance(done, "checking pictures")
        if done == total:
            self.end()

    def begin(self, done: int, total: int) -> None:
        if not self.console.is_terminal or self.console.quiet:
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=self.console, transient=True)
        self.task = self.bar.add_task("", total=total, completed=done)
        self.bar.start()

    def advance(self, step: int, text: str) -> None:
        if self.bar is not None:
            self.bar.update(self.task, completed=step, description=text)

    def end(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


class Unheard(Display):
    """For Python, where nobody looks at stderr: quiet, but that what is said as a warning becomes one."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def say(self, message: str) -> None:
        if message.startswith(WARNING):
            warnings.warn(message.removeprefix(WARNING), stacklevel=_depth_of_caller())


def _depth_of_caller() -> int:
    """The ``stacklevel`` at which a warning of the function that asks names the line outside of this package that called it."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame, depth = frame.f_back, depth + 1
    return depth


class RunWatcher:
    """Records a run, and ends it when its time is over or a signal asked for it."""

    def __init__(
        self, run: RunFolder, trainer: Trainer, display: Display, interruption: Interruption, epoch: EpochSums | None = None
    ) -> None:
        """``epoch`` is what was seen of the epoch in which ``trainer`` stands."""
        self.run, self.settings, self.display, self.interruption = run, trainer.settings, display, interruption
        self.observe = recipe_of(self.settings.task).observe
        self.begun = self.saved = self.counted = time.monotonic()
        self.epoch = epoch or EpochSums()
        self.kept = -KEEP_EVERY
        self.looked = self.longest = 0.0  # seconds of all looks, and of the longest
        self.pause = min(self.settings.save_every * 60, 10.0)
        self.writer = self._writer(trainer.progress.told) if self.settings.tensorboard else None

    def stepped(self, trainer: Trainer, loss: float, rate: float) -> None:
        self.epoch.losses += loss
        self.epoch.steps += 1
        self.epoch.rate = rate
        step = trainer.progress.step
        self.display.advance(step, f"epoch {(step - 1) // trainer.feed.steps_per_epoch + 1} loss {loss:.3f}")
        if self.writer and (step % 20 == 0 or step == 1):
            self.writer.add_scalar("train/loss", loss, step)
            self.writer.add_scalar("train/learning_rate", rate, step)

    def evaluated(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        self._count_seconds()
        # first, so that a look which a signal cuts short leaves nothing behind: it is taken again with the evaluation
        seen = self._look(trainer) if self._may_look(trainer) else ""
        epoch, self.epoch = self.epoch, EpochSums()
        row: dict[str, Any] = {
            "step": trainer.progress.step,
            "epoch": trainer.epoch,
            "learning_rate": epoch.rate,
            "train_loss": epoch.losses / epoch.steps,
            **{f"val_{name}": value for name, value in metrics.items()},
            "seconds": round(epoch.seconds, 2),
            "pictures_per_second": round(epoch.steps * trainer.feed.batch_size / epoch.seconds, 1),
        }
        self.run.append_metrics(row)
        if self.writer:
            for name, value in metrics.items():
                self.writer.add_scalar(f"val/{name}", value, row["step"])
        due = improved if self.settings.keep == "best" else time.monotonic() - self.kept > KEEP_EVERY
        if due:
            self.keep(trainer, metrics)
        scores = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        best = " (best)" if improved else ""
        epochs = trainer.settings.epochs
        self.noted(
            f"epoch {row['epoch']}/{epochs}: train loss {row['train_loss']:.4f}; validation {scores}{best}; {row['seconds']:.0f} s"
        )
        if seen:
            self.noted(seen)
        self.counted = time.monotonic()  # what was measured beside it is no part of the next epoch

    def _may_look(self, trainer: Trainer) -> bool:
        """Whether a time limit leaves time for another look; the last is always taken."""
        if self.settings.time_limit is None or trainer.progress.step >= trainer.steps or trainer.exhausted:
            return True
        return self.looked + self.longest <= LOOKING * (time.monotonic() - self.begun)

    def _look(self, trainer: Trainer) -> str:
        begun = time.monotonic()
        try:
            return self.observe(self.run, trainer, self.heeding)
        finally:
            # a look is no part of an epoch, nor is one that was cut short
            self.counted = time.monotonic()
            self.looked, self.longest = self.looked + self.counted - begun, max(self.longest, self.counted - begun)

    def keep(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Write the run's model, so that even a killed run has one."""
        self.kept = time.monotonic()
        save_trained(self.run, trainer, {"metrics": {"validation": metrics}})

    def noted(self, message: str) -> None:
        self.run.log(message)
        self.display.say(message)

    def save(self, state: dict[str, Any], step: int) -> None:
        """Write ``state`` with what was seen of the epoch so far, which the row of a resumed run needs, and the settings that it keeps."""
        begun = time.monotonic()
        self._count_seconds()
        self.run.checkpoints.save({**state, "epoch": asdict(self.epoch), "settings": bound(self.settings)}, step)
        self.saved = time.monotonic()
        self.pause = min(self.settings.save_every * 60, max(10.0, SHARE * (self.saved - begun)))

    def save_due(self) -> bool:
        return time.monotonic() - self.saved > self.pause

    def interrupted(self) -> bool:
        return self.interruption.requested

    def heeding(self, batches: Iterable[Any]) -> Iterator[Any]:
        """All of ``batches``; raises :class:`CutShort` at an interruption."""
        return until(self.interrupted, batches)

    def stop(self) -> str | None:
        if self.interrupted():
            return f"{self.interruption.name} was received"
        if self.out_of_time:
            return f"the time limit of {duration(60 * (self.settings.time_limit or 0))} is over"
        return None

    @property
    def out_of_time(self) -> bool:
        limit = self.settings.time_limit
        return limit is not None and time.monotonic() - self.begun > limit * 60 and not self.interruption.requested

    def close(self) -> None:
        self.display.end()
        if self.writer:
            self.writer.close()

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.epoch.seconds += now - self.counted
        self.counted = now

    def _writer(self, step: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        # what a killed process logged after its last checkpoint is lived again, and shall not be shown twice
        return SummaryWriter(str(self.run.path / "tensorboard"), purge_step=step + 1)


def save_trained(run: RunFolder, trainer: Trainer, extra: dict[str, Any]) -> None:
    """Write the averaged weights as the model of ``run``, with ``extra`` and what they learned from beside them."""
    task = trainer.task
    save_model(
        trainer.average.model, run.model, classes=task.classes, preprocessing=trainer.feed.preprocessing, task=task.name,
        multi_label=task.multi_label, extra={**extra, "learned_from": learned_from(run, trainer)},
    )  # fmt: skip
