"""What ``bench`` measures in turn: a model by its engines, its training step, or exported bundles by the runtimes that take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import machine
from ..errors import UsageError
from ..runtime.export.bundle import is_bundle, open_bundle
from ..runtime.export.sessions import runtimes_for
from ..runtime.kinds import ENGINES, PRECISIONS
from .macs import useful_macs
from .models import PLAIN, outline
from .training import NATIVE
from .turns import Candidate

FLOOR = "GEMM floor"
# large blocks stay with the process instead of going back to the system after each product, which would slow the floor down
KEEP_MEMORY = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296"}


@dataclass(frozen=True)
class Case:
    """One thing to measure, in every way in turn."""

    precision: str
    batch: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Way:
    """One way to compute a case: the ``target`` of a :class:`~swinkit.study.turns.Candidate` with what it takes beside the case.

    ``precision`` is set for what computes in its own, whatever the case's.
    """

    name: str
    target: str
    arguments: Mapping[str, Any]
    precision: str | None = None


@dataclass(frozen=True)
class BenchPlan:
    """``ways`` take turns, by ``threads`` threads (None: as many as torch takes); ``step`` is "inference" or "training".

    Where ``floor`` is set, the linear layers of ``model`` take turns with them.
    """

    model: str
    ways: Sequence[Way]
    precisions: Sequence[str]
    batches: Sequence[int] = (1, 8)
    step: str = "inference"
    floor: bool = True
    threads: int | None = None

    @property
    def exported(self) -> bool:
        """Whether it measures bundles alone, which are what they are."""
        return all(way.precision is not None for way in self.ways)

    def beside(self, case: Case, cases: Sequence[Case]) -> list[Way]:
        """Those that are measured in ``case``: what has its own precision stands in the first one only."""
        return [way for way in self.ways if way.precision is None or case.precision == cases[0].precision]

    def candidates(self, case: Case, ways: Sequence[Way]) -> list[Candidate]:
        """``ways`` of ``case`` and the floor as :func:`~swinkit.study.turns.take_turns` takes them."""
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        given = {"batch": case.batch, "size": case.size}
        listed = [
            Candidate(
                way.name, way.target, {**way.arguments, **given, "precision": way.precision or case.precision}, dict(threads)
            )
            for way in ways
        ]
        if not self.floor:
            return listed
        arguments = {"model": self.model, **given, "precision": case.precision}
        return [*listed, Candidate(FLOOR, f"{__package__}.subjects:gemm_floor", arguments, {**KEEP_MEMORY, **threads})]


def plan_inference(
    model: str, engines: Sequence[str], bundles: Sequence[str], precisions: Sequence[str], floor: bool, threads: int | None
) -> BenchPlan:
    """``model``, a model or a bundle, by ``engines``, and ``bundles`` of it beside; what is not asked for is what is usual.

    Raises :class:`UsageError` for what an exported graph does not do, :class:`MissingExtra` for a runtime or an engine that is not installed.
    """
    if not is_bundle(model):
        if "torch" in engines:
            raise UsageError(
                f"torch runs what `swinkit export --to torch` wrote, and {model} is not that. Mend: --engine plain"
            )
        names = ("auto", PLAIN, *ENGINES) if "all" in engines else engines or ("auto", PLAIN)
        listed = [Way(name, f"{__package__}.subjects:swin", {"model": model, "engine": name}) for name in names]
        beside = [way for bundle in bundles for way in _exported(bundle, (), threads, model)]
        return BenchPlan(model, [*listed, *beside], precisions or _precisions(), floor=floor, threads=threads)
    ways = _exported(model, [name for name in engines if name not in ("auto", "all")], threads)
    ways += [way for bundle in bundles if bundle != model for way in _exported(bundle, (), threads, model)]
    own = str(ways[0].precision)
    if set(precisions) - {own}:
        raise UsageError(
            f"{model} computes in {own}, as it was exported, not in {', '.join(sorted(set(precisions) - {own}))}. Mend: leave --precision out"
        )
    return BenchPlan(model, ways, (own,), floor=floor and own in PRECISIONS, threads=threads)


def _exported(bundle: str, runtimes: Sequence[str], threads: int | None, beside: str | None = None) -> list[Way]:
    """``bundle`` in each of ``runtimes``, by default the installed ones that take it; ``beside`` is whose costs it has to share."""
    manifest = open_bundle(bundle).manifest
    if beside is not None:
        config = outline(beside).config
        if useful_macs(config, config.image_size) != useful_macs(manifest.swin, config.image_size):
            raise UsageError(
                f"{bundle} is not of the network {beside}, whose work differs, so that they are not measured in turn. Mend: bench it by itself"
            )
    names = [name for wanted in runtimes for name in runtimes_for(manifest.target, wanted)] or runtimes_for(manifest.target)
    return [
        Way(
            f"{name} of {bundle}",
            f"{__package__}.subjects:exported",
            {"bundle": bundle, "runtime": name, "threads": threads or 0},
            manifest.precision,
        )
        for name in names
    ]


def plan_training(model: str, engines: Sequence[str], precisions: Sequence[str], threads: int | None) -> BenchPlan:
    """A training step of ``model``, with swinkit's kernels and without. Raises :class:`UsageError` for what takes none."""
    known = (NATIVE, PLAIN)
    names = known if "all" in engines else engines or known
    if strange := [name for name in names if name not in known]:
        raise UsageError(
            f"A training step is computed by {' or '.join(known)}, not by {', '.join(strange)}. Mend: leave --engine out"
        )
    if is_bundle(model):
        raise UsageError(f"{model} is an exported graph, which learns no more. Mend: name the model that it was exported from")
    if not outline(model).config.num_classes:
        raise UsageError(f"{model} has no classes to learn. Mend: name a classifier, or a variant such as swin_t")
    ways = [Way(name, f"{__package__}.training:swin", {"model": model, "engine": name}) for name in names]
    return BenchPlan(model, ways, precisions or _precisions(), (8, 32), "training", floor=False, threads=threads)


def _precisions() -> list[str]:
    """float32, and bfloat16 where it is in hardware."""
    hardware = machine.processor()["bfloat16"]
    return [name for name in PRECISIONS if name == "float32" or hardware]
