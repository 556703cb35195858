"""What a run will cost, from a short measured rehearsal that changes no weight and draws no number the run depends on."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from .. import memory
from ..data.collection import counted
from ..devices import computes_bfloat16
from ..machine import available_memory
from ..tasks import Task
from ..timing import duration
from .feed import Feed
from .loop import in_parts
from .optim import build_optimizers
from .settings import RunSettings
from .shortage import too_large

WORTHWHILE = 1.1  # how many times faster half precision must be
ENOUGH, TURNS = 2, 5  # measurements of each precision, and where they are close
MARGIN = 1.4  # what is close: so much may another job on the machine distort
IN_TIME = 0.95  # of a time limit may be planned for
LOOKING = 0.2  # of a time limit may go into looks at what the run has learned, beside the last
BESIDE = 2  # a step holds so many times what it keeps for the backward pass: gradients on their way, and what is freed late
PUBLISHED = (  # least picture side, weights that fit
    (288, "hf-hub:microsoft/swin-base-patch4-window12-384"),
    (224, "hf-hub:microsoft/swin-tiny-patch4-window7-224"),
    (96, "hf-hub:microsoft/swin-tiny-patch4-window7-224"),
)


@dataclass(frozen=True)
class Rehearsal:
    """``seconds`` of a step's forward and backward pass with ``precision``, computed in ``accumulate`` parts."""

    seconds: float
    precision: str
    accumulate: int


@dataclass(frozen=True)
class Plan:
    model: str
    parameters: int
    image_size: tuple[int, int]
    pictures: int
    epochs: int
    steps: int
    batch_size: int
    precision: str
    device: str
    minutes: float
    gigabytes: float | None
    kept: float = 0.0  # share of the pictures that stay decoded in memory, and the gigabytes that they take
    kept_gigabytes: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)  # plain values of the settled ones, all of them
    sparing: tuple[str, ...] = ()  # sentences on what saves memory for time

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        memory = f" and {self.gigabytes:.1f} GB" if self.gigabytes is not None else ""
        return (
            f"Plan: {self._part()}{self.model} ({self.parameters / 1e6:.1f} M parameters) at {self.image_size[0]}x{self.image_size[1]}, "
            f"{counted(self.pictures, 'picture')}, {counted(self.epochs, 'epoch')}, {counted(self.steps, 'step')} of {self.batch_size}, {self.precision} on "
            f"{self.device}: about {duration(60 * self.minutes)}{memory}.{self._learning()}{self._keeping()}"
        ) + "".join(f" {said}" for said in self.sparing)

    def _part(self) -> str:
        """Which part of a cross-validation it is; nothing for a run by itself."""
        folds = self.settings.get("folds")
        return f"fold {(self.settings.get('fold') or 0) + 1} of {folds}, " if folds else ""

    def _learning(self) -> str:
        """How it learns, in a sentence; nothing where that is not known."""
        if not (chosen := self.settings):
            return ""
        changes = [f"{name} {value}" for name, value in (chosen.get("augment") or {}).items() if value]
        mixing = [f"{name} {chosen[name]:g}" for name in ("mixup", "cutmix", "label_smoothing") if chosen.get(name)]
        weighted = ["classes weighted by their size"] if chosen.get("class_weights") else []
        how = [f"learning rate {chosen['lr']:g}", f"augmentation {', '.join(changes) or 'none'}", *mixing, *weighted]
        return f" By {chosen['optimizer']}: {'; '.join(how)}."

    def _keeping(self) -> str:
        """What is kept of the pictures, in a sentence; nothing where nothing is."""
        which = "All" if self.kept == 1 else f"{self.kept:.0%} of the"
        return (
            f" {which} pictures stay decoded in memory, in {math.ceil(1000 * self.kept_gigabytes):,} MB more."
            if self.kept
            else ""
        )


def rehearse(task: Task, model: nn.Module, batch: Any, precision: str | None, accumulate: int) -> Rehearsal:
    """Forward and backward of one batch, in parts so small that memory suffices.

    ``precision`` None tries bfloat16 in turn with float32 where the processor computes it, and takes it if clearly faster.
    """
    device = next(model.parameters()).device
    batch = batch.to(device)
    choices = [precision] if precision else ["32-true", *(["bf16-mixed"] if computes_bfloat16(device) else [])]
    seconds = dict.fromkeys(choices, math.inf)
    with undisturbed(model):
        parts = max(accumulate, parts_that_fit(task, model, batch))
        for turn in range(TURNS):
            if turn >= ENOUGH and not _too_close(seconds):
                break
            for choice in choices:
                taken, parts = _fitting(task, model, batch, choice, parts)
                seconds[choice] = min(seconds[choice], taken)
    best = "bf16-mixed" if seconds.get("bf16-mixed", math.inf) * WORTHWHILE < seconds.get("32-true", 0) else choices[0]
    return Rehearsal(seconds[best], best, parts)


def _too_close(seconds: dict[str, float]) -> bool:
    """Whether the gain lies within a factor of ``MARGIN`` of what is worthwhile, so that another job on the machine could have decided."""
    gain = seconds.get("32-true", math.inf) / seconds.get("bf16-mixed", math.inf)
    return WORTHWHILE / MARGIN < gain < WORTHWHILE * MARGIN


def _fitting(task: Task, model: nn.Module, batch: Any, precision: str, parts: int) -> tuple[float, int]:
    """Seconds of a step in ``parts`` parts, or, where memory does not suffice, in so many more."""
    while True:
        try:
            return pass_seconds(task, model, batch, precision, parts), parts
        except RuntimeError as fault:
            if not memory.ran_out_of_memory(fault):
                raise
            if parts >= len(batch):
                raise too_large(fault) from None
            parts *= 2


def parts_that_fit(task: Task, model: nn.Module, batch: Any) -> int:
    """A power of two: into so many parts ``batch`` is cut that a step takes half of the memory that is left, by what one picture takes.

    Only on a processor, where the system does not refuse memory that it does not have, but ends the process later.
    """
    available = available_memory()
    if next(model.parameters()).device.type != "cpu" or available is None:
        return 1
    kept: dict[int, int] = {}  # by address, since layers share tensors

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.train()
    mixed = task.mix(batch)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        try:
            loss = task.loss(model, mixed[:1])
        except RuntimeError as fault:
            raise (too_large(fault) if memory.ran_out_of_memory(fault) else fault) from None
    for parameter in model.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    del loss
    needed, parts = BESIDE * sum(kept.values()) * len(mixed), 1
    while needed / parts > available / 2 and parts < len(mixed):
        parts *= 2
    return parts


@dataclass(frozen=True)
class Loading:
    """Seconds until a batch is made, by the workers side by side where there are any, in the first epoch and in ``later`` ones, and until
    the workers have started; ``kept`` is the share of the pictures that stay decoded in memory, in ``gigabytes``."""

    first: float
    later: float
    starting: float = 0.0
    kept: float = 0.0
    gigabytes: float = 0.0


def load_first(feed: Feed) -> tuple[Any, Loading]:
    """The first batch of the run, and what loading takes."""
    alone = replace(feed, workers=0)
    batch, first = _load(alone)
    _, again = _load(alone)
    kept, gigabytes = kept_pictures(alone)
    workers, starting = max(1, feed.workers), 0.0
    if feed.workers:
        _, seconds = _load(feed)
        feed.close()
        starting = max(0.0, seconds - first / workers)
    later = kept * min(first, again) + (1 - kept) * first
    return batch, Loading(first / workers, later / workers, starting, kept, gigabytes)


def _load(feed: Feed) -> tuple[Any, float]:
    """The first batch of ``feed``, and how many seconds it took."""
    begun = time.perf_counter()
    batch = next(feed.training(0))
    return batch, time.perf_counter() - begun


def kept_pictures(feed: Feed) -> tuple[float, float]:
    """What share of all pictures there is room for, and the gigabytes that they take, by those that ``feed`` keeps after its first batch."""
    here = feed.loader.source.kept
    if not len(here):
        return 0.0, 0.0
    needed = here.held / len(here) * (len(feed.train) + len(feed.val))
    return min(1.0, feed.room / needed), min(feed.room, needed) / 1e9


def change_seconds(model: nn.Module, settings: RunSettings) -> float:
    """How long the optimisers of settled ``settings`` take over the weights of ``model``, measured on a copy."""
    twin = copy.deepcopy(model)
    for parameter in twin.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers, seconds = build_optimizers(twin, settings), math.inf
    for _ in range(1 + ENOUGH):  # the first makes the state
        begun = time.perf_counter()
        for optimizer in optimizers:
            optimizer.step()
        wait_for(next(twin.parameters()).device)
        seconds = min(seconds, time.perf_counter() - begun)
    return seconds


def epoch_seconds(feed: Feed, gradient: float, change: float, batch: float) -> float:
    """How long an epoch with its evaluation takes, where a step is ``gradient`` seconds of forward and backward and ``change`` of the optimisers,
    and a ``batch`` is made in so many.

    Workers load while the network computes, so that the slower of both counts; without them the times add up. An
    evaluation goes forward only, a third of a step.
    """
    together = max if feed.workers else sum
    judged = math.ceil(len(feed.val) / feed.batch_size)
    return feed.steps_per_epoch * together((gradient + change, batch)) + judged * together((gradient / 3, batch))


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Leaves the random generators as they were, no gradient, and the model's mode."""
    training = model.training
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            yield
        finally:
            model.zero_grad(set_to_none=True)
            model.train(training)


def peak_gigabytes(device: torch.device, parameters: int) -> float | None:
    """Peak memory so far plus what the optimiser will hold (two float32 per parameter); None where it cannot be read."""
    used = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else memory.peak()
    return None if used is None else (used + 8 * parameters) / 1e9


def published_weights(side: int) -> str | None:
    """A name for ``--model`` whose weights suit pictures of ``side`` pixels; None for small ones."""
    return next((name for least, name in PUBLISHED if side >= least), None)


def pass_seconds(task: Task, model: nn.Module, batch: Any, precision: str, parts: int, back: bool = True) -> float:
    """Seconds in which ``batch`` goes through ``model`` in training, in ``parts`` parts: forward, and ``back``."""
    device = next(model.parameters()).device
    model.train()
    begun = time.perf_counter()
    mixed = task.mix(batch)
    for part in in_parts(len(mixed), parts):
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = task.loss(model, mixed[part])
        if back:
            loss.backward()
        del loss  # and with it what the part kept, before the next one
    wait_for(device)
    return time.perf_counter() - begun


def wait_for(device: torch.device) -> None:
    """Until what was begun on ``device`` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
