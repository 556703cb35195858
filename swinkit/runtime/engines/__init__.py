"""The ways to run a trained model, behind one call: each answers as the model does, and the fastest on this machine is measured."""

from __future__ import annotations

import copy
import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...tasks.devices import computes_bfloat16
from ..kinds import ENGINES, check_engine
from .choice import fastest

Shape = tuple[int, int, int, int]
Program = Callable[[Tensor], tuple[Tensor, Tensor]]  # pictures to (logits, pooled embedding)

PRECISIONS = ("float32", "bfloat16")
KEPT = 8  # programs of one shape each, so that pictures of many sizes do not fill the memory


class Engine(Protocol):
    """What :func:`build` gives: call it with pictures (B, C, H, W), float32, of any size; the answer is float32 logits (B, classes)."""

    name: str
    precision: str

    def __call__(self, images: Tensor) -> Tensor: ...

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and the pooled embeddings (B, C of the last stage) they came from, both float32."""
        ...


class Run:
    """A model in the hands of one engine. Programs are built on first use for a shape, and the last :data:`KEPT` are kept."""

    def __init__(self, model: nn.Module, name: str, precision: str) -> None:
        self.name, self.precision = name, precision if precision in ENGINES[name].precisions else "float32"
        self._model = copy.deepcopy(model).float().eval()  # its weights may be rounded, what is folded from them is not
        self._programs: dict[Any, Program] = {}
        self._building = threading.Lock()

    def __call__(self, images: Tensor) -> Tensor:
        return self.answers(images)[0]

    @torch.inference_mode()
    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, pooled = self.program(tuple(images.shape))(images)  # type: ignore[arg-type]
        return logits.float(), pooled.float()

    def program(self, shape: Shape) -> Program:
        """The program for pictures of ``shape``."""
        key = None if ENGINES[self.name].any_size else shape
        with self._building:
            program = self._programs.pop(key, None)
            if program is None:
                with torch.inference_mode():
                    program = _builder(self.name)(self._model, self.precision, shape)
            self._programs[key] = program  # the last one used is the last to go
            if len(self._programs) > KEPT:
                del self._programs[next(iter(self._programs))]
        return program


def build(
    model: nn.Module, precision: str = "float32", shape: Shape = (1, 3, 224, 224), engine: str = "auto", thorough: bool = False
) -> Run:
    """``model``, as :func:`swinkit.load` or ``create_model`` gives it, in its fastest exact form on this processor.

    ``engine`` names one of :data:`ENGINES`; "auto" measures those that are built in seconds at ``shape``, checks that they answer as
    the model does, and remembers the best for this machine; ``thorough`` tries the slow ones as well. The model is taken as it
    is now: what it learns later does not reach the engine. "bfloat16" on a processor, or in an engine, without it is float32, said once.

    Raises :class:`UsageError` for an unknown engine or precision, :class:`MissingExtra` for one that is not installed.
    """
    check(engine, precision)
    if next(model.parameters()).device.type != "cpu":
        raise UsageError("Engines are for the CPU. Mend: move the model there, or call the model itself.")
    if precision == "bfloat16" and not computes_bfloat16(torch.device("cpu")):
        _say_once("This processor does not compute in bfloat16; float32 is used instead.")
        precision = "float32"
    if engine == "auto":
        return fastest(model, precision, shape, candidates(thorough), Run)
    run = Run(model, engine, precision)
    if run.precision != precision:
        _say_once(f"The engine {engine} does not compute in {precision}; {run.precision} is used instead.")
    run.program(shape)
    return run


def check(engine: str, precision: str) -> None:
    """Raises what :func:`build` does for ``engine`` and ``precision``."""
    if precision not in PRECISIONS:
        raise UsageError(f"There is no precision {precision!r} here. Expected one of: {', '.join(PRECISIONS)}.")
    check_engine(engine)


def candidates(thorough: bool = False) -> list[str]:
    """Names of the engines that "auto" measures here."""
    return [name for name, kind in ENGINES.items() if kind.installed and (kind.quick or thorough)]


def _builder(name: str) -> Callable[[nn.Module, str, Shape], Program]:
    return importlib.import_module(f"{__name__}.{name}").build


_said: set[str] = set()


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        print(f"swinkit: {message}", file=sys.stderr)
