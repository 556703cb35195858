"""The only training loop. It knows no task: batches come from a feed, losses and metrics from a task.

Position is the global step alone. Order and augmentation are functions of (seed, epoch, index), whatever else is random
(mixing, stochastic depth) of (seed, step); so a run that resumes at a step goes on with the same bits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn.utils import get_total_norm

from ..errors import SwinkitError
from ..memory import ran_out_of_memory
from ..tasks import Meter, Task
from .ema import WeightAverage
from .feed import Feed
from .interrupt import CutShort, until
from .optim import build_optimizers, set_learning_rate
from .schedule import learning_rate_factor
from .settings import RunSettings
from .shortage import half_changed, too_large

Save = Callable[[dict[str, Any], int], Any]  # state, step


class NonFinite(SwinkitError):
    """The loss or the gradient is not a number; no weight was changed."""


class Watcher(Protocol):
    """Hears what happens, and may end the run between two steps by naming a reason."""

    def stepped(self, trainer: Trainer, loss: float, rate: float) -> None: ...

    def evaluated(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Raises :class:`CutShort`, with nothing written, where an interruption came while it looked further."""

    def noted(self, message: str) -> None: ...

    def save_due(self) -> bool: ...

    def interrupted(self) -> bool: ...

    def stop(self) -> str | None: ...


@dataclass
class Progress:
    """Where a run stands. ``accumulate`` is the parts a batch is computed in, which grows when memory runs out; ``unmeasured`` says that
    the epoch which ended here was not evaluated yet. ``best_loss`` is that of the ``best`` evaluation, the last that was better."""

    step: int = 0
    unmeasured: bool = False
    accumulate: int = 1
    best: float | None = None
    best_loss: float = math.inf
    best_step: int = 0
    stale: int = 0

    @property
    def told(self) -> int:
        """The last step of which tables may hold a row."""
        return self.step - self.unmeasured


class Trainer:
    def __init__(self, fabric: Fabric, task: Task, model: nn.Module, feed: Feed, settings: RunSettings) -> None:
        """``model`` is on any device and keeps its initial weights until :meth:`run`; ``settings`` are settled."""
        self.fabric, self.task, self.feed, self.settings = fabric, task, feed, settings
        model = fabric.to_device(model)
        self.average = WeightAverage(model, settings.ema or 0.0)
        self.model, *self.optimizers = fabric.setup(model, *build_optimizers(model, settings))
        self.progress = Progress(accumulate=settings.accumulate)
        self.warmup = round((settings.warmup_epochs or 0) * feed.steps_per_epoch)
        self.steps = (settings.epochs or 1) * feed.steps_per_epoch

    def run(self, watcher: Watcher, save: Save) -> str | None:
        """Train to the end: None, or until the watcher names a reason to stop, which is returned after saving."""
        here, each = self.progress, self.feed.steps_per_epoch
        if here.unmeasured and (reason := self.after_step(watcher, save)):
            return reason
        while not self.over:
            epoch, start = divmod(here.step, each)
            for batch in self.feed.training(epoch, start):
                loss, rate = self.step_or_save(batch, watcher, save)
                here.step += 1
                here.unmeasured = here.step % each == 0
                watcher.stepped(self, loss, rate)
                if reason := self.after_step(watcher, save):
                    return reason
                if self.over:
                    break
        return None

    def after_step(self, watcher: Watcher, save: Save) -> str | None:
        """Evaluate where an epoch ended, save where that is due, and name the reason to stop here, if there is one."""
        if self.progress.unmeasured:
            self.evaluate(watcher)
        reason = watcher.stop()
        if self.over or reason or watcher.save_due():
            save(self.state_dict(), self.progress.step)
        return None if self.over else reason

    @property
    def over(self) -> bool:
        return (self.progress.step >= self.steps or self.exhausted) and not self.progress.unmeasured

    @property
    def epoch(self) -> int:
        """Completed passes over the training pictures."""
        return self.progress.step // self.feed.steps_per_epoch

    @property
    def exhausted(self) -> bool:
        """Whether early stopping has seen enough evaluations without improvement."""
        return bool(self.settings.patience) and self.progress.stale >= self.settings.patience

    def step_or_save(self, batch: Any, watcher: Watcher, save: Save) -> tuple[float, float]:
        """One step, in so many parts that memory suffices; what makes it impossible leaves the last good weights on disk."""
        loss = self.gradients_that_fit(batch, watcher)
        try:
            return self.change(batch, loss)
        except NonFinite:
            save(self.state_dict(), self.progress.step)
            raise
        except RuntimeError as fault:
            if not ran_out_of_memory(fault):
                raise
            raise half_changed(fault, self.progress.step) from None

    def gradients_that_fit(self, batch: Any, watcher: Watcher) -> float:
        while True:
            try:
                return self.gradients(batch)
            except RuntimeError as fault:
                if not ran_out_of_memory(fault):
                    raise
                self.halve(len(batch), fault, watcher)

    def step(self, batch: Any) -> tuple[float, float]:
        """One optimiser step on ``batch``; returns its mean loss and the learning rate. Raises :class:`NonFinite`."""
        return self.change(batch, self.gradients(batch))

    def gradients(self, batch: Any) -> float:
        """The mean loss of ``batch``, whose gradient the parameters then have."""
        seed_everything(self.fabric.device, seed_of(self.settings.seed, self.progress.step))
        if not self.model.module.training:  # asked, because telling every module costs a millisecond
            self.model.train()
        self.forget_gradients()
        return self.accumulate_gradients(batch)

    def forget_gradients(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def change(self, batch: Any, loss: float) -> tuple[float, float]:
        """Change the weights by the gradient that they have; returns ``loss`` and the learning rate. Raises :class:`NonFinite`."""
        rate = (self.settings.lr or 0.0) * learning_rate_factor(self.progress.step, self.warmup, self.steps)
        if not all(map(math.isfinite, (loss, *self.clipped()))):
            self.forget_gradients()
            raise NonFinite(self.describe(batch, loss))
        for optimizer in self.optimizers:
            set_learning_rate(optimizer, rate)
            optimizer.step()
        self.average.update(self.model.module)
        return loss, rate

    def clipped(self) -> list[float]:
        """Clip what AdamW turns; the norm of each optimiser's gradients before that. The size of Muon's updates does not follow that
        of its gradients, so that clipping them would change little but the weight of one batch in the momentum."""
        adamw, *others = self.optimizers
        largest = self.settings.clip_grad or math.inf
        norm = self.fabric.clip_gradients(self.model, adamw, max_norm=largest, error_if_nonfinite=False)
        assert norm is not None  # which only clipping by value leaves out
        gradients = [
            [p.grad for group in other.param_groups for p in group["params"] if p.grad is not None] for other in others
        ]
        return [float(norm), *(float(get_total_norm(each)) for each in gradients)]

    def accumulate_gradients(self, batch: Any) -> float:
        """Mean loss of this rank's share of ``batch``, whose gradient is gathered part by part."""
        mixed = self.task.mix(batch.to(self.fabric.device))
        if self.fabric.world_size > 1:
            mixed = mixed[self.fabric.global_rank :: self.fabric.world_size]
            seed_everything(self.fabric.device, seed_of(self.settings.seed, self.progress.step, self.fabric.global_rank))
        parts = in_parts(len(mixed), self.progress.accumulate)
        total = 0.0
        for number, part in enumerate(parts):
            share = (part.stop - part.start) / len(mixed)
            with self.fabric.no_backward_sync(self.model, enabled=number < len(parts) - 1):
                loss = self.task.loss(self.model, mixed[part]) * share
                self.fabric.backward(loss)
            total += loss.item()
        return total

    def evaluate(self, watcher: Watcher) -> None:
        """Measure the epoch that ended, unless an interruption cuts that short: then whoever resumes does it from its first picture."""
        before = replace(self.progress)
        try:
            metrics = self.measure(until(watcher.interrupted, self.feed.evaluation())).compute()
            improved = self.judge(metrics)
            watcher.evaluated(self, metrics, improved)
        except CutShort:
            self.progress = before

    def judge(self, metrics: dict[str, float]) -> bool:
        """Note where the run stands by the ``metrics`` of its evaluation; whether they are the best so far. Equal ones, which few pictures
        often give, the loss parts."""
        here = self.progress
        here.unmeasured = False
        name, direction = self.task.monitor
        value = metrics.get(name)  # absent where the validation pictures cannot tell
        if value is None or math.isnan(value):
            return False
        loss = metrics.get("loss", math.inf)
        better = here.best is None or (value > here.best if direction == "max" else value < here.best)
        improved = better or (value == here.best and loss < here.best_loss)
        here.stale = 0 if improved else here.stale + 1
        if improved:
            here.best, here.best_loss, here.best_step = value, loss, here.step
        return improved

    @torch.inference_mode()
    def measure(self, batches: Any) -> Meter:
        """What the averaged weights predict for ``batches``, each in as many parts as a step takes."""
        meter = self.task.meter()
        for batch in batches:
            for part in in_parts(len(batch), self.progress.accumulate):
                with self.fabric.autocast():
                    meter.update(self.average.model, batch[part].to(self.fabric.device))
        return meter

    def halve(self, size: int, fault: BaseException, watcher: Watcher) -> None:
        """Twice as many parts per batch: the same effective batch in half the memory."""
        micro = math.ceil(size / self.progress.accumulate)
        if micro == 1:
            raise too_large(fault)
        self.forget_gradients()
        if self.fabric.device.type == "cuda":
            torch.cuda.empty_cache()
        self.progress.accumulate *= 2
        watcher.noted(
            f"Out of memory at step {self.progress.step} with {micro} pictures at once; going on with {math.ceil(micro / 2)} at once, "
            f"still {size} per step."
        )

    def describe(self, batch: Any, loss: float) -> str:
        names = self.feed.names(batch.indices.tolist())
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        return (
            f"The loss or its gradient is not finite at step {self.progress.step} (loss {loss}). No weight was changed; the last good "
            f"state is saved. The batch held {', '.join(names[:8])}{more}. Mend: look at these files; if they are sound, start anew with "
            f"a lower learning rate (--set lr={(self.settings.lr or 0) / 3:.2g}) or precision=32-true"
        )

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on, beside settings and data."""
        return {
            "progress": asdict(self.progress),
            "model": self.model.module.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        self.model.module.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def seed_everything(device: torch.device, seed: int) -> None:
    """Seed what ``device`` draws from. On the processor that is one generator: torch.manual_seed would also queue a call, with the
    stack that it came from, for each accelerator that is not there."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def seed_of(seed: int, step: int, rank: int = 0) -> int:
    """A seed for what is random in one step, unrelated between neighbouring steps and runs."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()[:7], "big")


def in_parts(size: int, parts: int) -> list[slice]:
    """``size`` pictures in at most ``parts`` slices of equal length, the last one shorter."""
    length = math.ceil(size / parts)
    return [slice(start, min(start + length, size)) for start in range(0, size, length)]
