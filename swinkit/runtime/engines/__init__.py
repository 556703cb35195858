"""The ways to run a trained model, behind one call: each answers as the model does, and the fastest on this machine is measured."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor, nn

from ...devices import computes_bfloat16, one_thread_after_fork
from ...errors import UsageError
from ...kernels.accelerate import apart
from ...kernels.memory import give_back_freed_memory
from ...model.backbone import check_pictures
from ..folding import departure
from ..kinds import ENGINES, PRECISIONS, check_engine
from .choice import fastest

Shape = tuple[int, int, int, int]
Program = Callable[[Tensor], tuple[Tensor, Tensor]]  # pictures to (logits, pooled embedding)

_TRACING = threading.RLock()  # torch's tracers keep their state for the whole process
MOST_PROGRAMS = 8  # of one shape each, so that pictures of many sizes do not fill the memory


class Engine(Protocol):
    """What :func:`build` gives: call it with pictures (B, C, H, W) of any size, which are taken as float32; the answer is float32 logits
    (B, classes), of which others may learn, but which lead no gradient back."""

    name: str
    precision: str

    def __call__(self, images: Tensor) -> Tensor: ...

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and the pooled embeddings (B, C of the last stage) they came from, both float32."""
        ...


class Run:
    """A model in the hands of one engine. Programs are built on first use for a shape, and the last :data:`MOST_PROGRAMS` are kept.

    They compute in their own precision, whatever autocast they are built or called under.
    """

    def __init__(self, model: nn.Module, name: str, precision: str) -> None:
        self.name, self.precision = name, precision if precision in ENGINES[name].precisions else "float32"
        self._model: Any = apart(model).float().eval()  # its weights may be rounded, what is folded from them is not
        self._channels: int = self._model.config.in_channels  # type: ignore[union-attr, assignment]
        self._programs: dict[Any, Program] = {}
        self._building = threading.Lock()

    def __copy__(self) -> Run:
        # nothing in it changes but which programs are kept, and packed weights cannot be copied
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Run:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"The engine {self.name} is code and packed weights of this process. Mend: pickle the model, or a swinkit.Predictor of it, "
            "and build the engine where it answers"
        )

    def __call__(self, images: Tensor) -> Tensor:
        return self.answers(images)[0]

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        check_pictures(images, self._channels)
        if 0 in images.shape[2:]:
            raise ValueError(f"expected pictures with pixels, got {tuple(images.shape)}")
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            logits, pooled = self._compute(images.detach().float())
        # copies from outside inference mode, of which others may learn
        return logits.float().clone(), pooled.float().clone()

    def _compute(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if len(images) or ENGINES[self.name].any_size:
            return self.program(tuple(images.shape))(images)  # type: ignore[arg-type]
        # no program is built for no pictures, for which a runtime may have none
        pooled = images.new_empty(0, self._model.config.widths[-1])
        return self._model.head(pooled), pooled

    def program(self, shape: Shape) -> Program:
        """The program for pictures of ``shape``."""
        any_size = ENGINES[self.name].any_size
        key = None if any_size else shape
        with self._building:
            program = self._programs.pop(key, None)
            if program is None:
                with _TRACING, torch.inference_mode(), torch.autocast("cpu", enabled=False):
                    program = _builder(self.name)(self._model, self.precision, shape)
                if any_size:
                    self._model = None  # there is no other program to build
            self._programs[key] = program  # the last one used is the last to go
            if len(self._programs) > MOST_PROGRAMS:
                del self._programs[next(iter(self._programs))]
        return program


def build(
    model: nn.Module, precision: str = "float32", shape: Shape = (1, 3, 224, 224), engine: str = "auto", thorough: bool = False
) -> Run:
    """``model``, as :func:`swinkit.load` or ``create_model`` gives it, in its fastest exact form on this processor.

    ``engine`` names one of :data:`ENGINES`; "auto" measures those that are built in seconds at ``shape``, checks that they answer as
    the model does, and remembers the best for this machine; ``thorough`` tries the slow ones as well. The model is taken as it
    is now: what it learns later does not reach the engine. Said once: "bfloat16" on a processor, or in an engine, without it is
    float32; and a model with hooks, adapters or other layers than its configuration makes, which folding would pass over, is "eager".
    The native engines have the process keep the memory that it frees (:func:`~swinkit.kernels.memory.keep_freed_memory`); what building took
    is given back once. A process that is forked later computes by one thread (:func:`~swinkit.devices.one_thread_after_fork`), but for "compiled", which hangs there.

    Raises :class:`UsageError` for an unknown engine or precision, :class:`MissingExtra` for one that is not installed.
    """
    check(engine, precision)
    if next(model.parameters()).device.type != "cpu":
        raise UsageError("Engines are for the CPU. Mend: move the model there, or call the model itself.")
    if engine != "eager" and (why := departure(model)):  # type: ignore[arg-type]
        say_once(f"{why}, which the engine {engine} would pass over; eager is used instead.")
        engine = "eager"
    precision = available(engine, precision)
    one_thread_after_fork()
    if engine == "auto":
        run = fastest(model, precision, shape, candidates(thorough), Run)
    else:
        run = Run(model, engine, precision)
        run.program(shape)
    # copies of the model, and weights on their way to packed ones, take several times what is left
    give_back_freed_memory()
    return run


def available(engine: str, precision: str) -> str:
    """``precision`` where this processor and ``engine`` compute in it, else "float32", which is said once."""
    if precision == "bfloat16" and not computes_bfloat16(torch.device("cpu")):
        say_once("This processor does not compute in bfloat16; float32 is used instead.")
        return "float32"
    if engine in ENGINES and precision not in ENGINES[engine].precisions:
        say_once(f"The engine {engine} does not compute in {precision}; float32 is used instead.")
        return "float32"
    return precision


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


def say_once(message: str) -> None:
    """``message`` on stderr, the first time that it is said in this process."""
    if message not in _said:
        _said.add(message)
        print(f"swinkit: {message}", file=sys.stderr)
