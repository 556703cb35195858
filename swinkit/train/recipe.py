"""What is particular to a verb that makes a run: which pictures, which network, which defaults. Everything else of a run is shared."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from torch import nn

from ..data.check import Findings
from ..data.collection import Collection
from ..data.split import Split
from ..errors import DataError
from ..tasks import Task
from ..tasks.probing import Heeding
from ..weights.saved import Saved
from .loop import Trainer
from .run import RunFolder
from .settings import MAKING, DataFacts, RunSettings
from .start import Start

Say = Callable[[str], None]
Checked = Callable[[int, int], None]


class Recipe(Protocol):
    """``folder`` is where its runs go below ``runs/``, ``settings`` their kind, ``labels`` whether labels are learned from.

    Recipes inherit from it: what they leave out of :meth:`fit_head`, :meth:`beside`, :meth:`looking_seconds` and :meth:`observe` is nothing.
    None has a state, so that one serves all runs.
    """

    folder: str
    labels: bool
    settings: type[RunSettings]

    def open(self, settings: Any, progress: Checked | None = None) -> Collection:
        """The pictures to learn from; ``progress`` is told of others that are looked at for them."""

    def part(self, settings: Any, collection: Collection, findings: Findings, say: Say) -> Split:
        """Training and validation pictures, without what cannot be used; raises :class:`DataError` where none are left."""

    def start(self, settings: Any, collection: Collection, split: Split, saved: Saved | None) -> Start: ...

    def facts(self, collection: Collection, split: Split, start: Start) -> DataFacts: ...

    def settle(self, settings: Any, facts: DataFacts, start: Start) -> Any:
        """``settings`` with every None that the data decides replaced."""

    def fit_head(self, model: nn.Module, settings: Any, collection: Collection, split: Split, start: Start) -> None:
        """Give ``model``, with the weights of ``start``, the head with which settled ``settings`` begin."""
        return None

    def network(self, settings: Any) -> nn.Module:
        """The network of settled settings, for the weights of a checkpoint."""

    def task(self, settings: Any, collection: Collection, split: Split) -> Task: ...

    def beside(self, settings: Any) -> dict[str, Collection]:
        """Other pictures on which figures of the run depend, by the setting that names them."""
        return {}

    def looking_seconds(self, settings: Any, model: nn.Module) -> float:
        """How long all that :meth:`observe` measures in a run of settled ``settings`` will take, about."""
        return 0.0

    def observe(self, run: RunFolder, trainer: Trainer, heeding: Heeding) -> str:
        """What to write into the run and to say after an evaluation, beside the metrics; empty for nothing. Pictures are looked at through
        ``heeding``, which raises :class:`CutShort` at an interruption; nothing is written then."""
        return ""


@functools.cache
def recipe_of(task: str) -> Recipe:
    """The recipe of runs whose settings name ``task``; raises :class:`DataError` where a run names an unknown one."""
    if task not in MAKING:
        raise DataError(f"There is no run of task {task!r}. Known: {', '.join(MAKING)}")
    module, name = MAKING[task].recipe.split(":")
    return getattr(import_module(f"{__package__}.{module}"), name)()
