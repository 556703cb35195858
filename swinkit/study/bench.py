"""What a model costs: parameters and MACs counted, latency and memory measured, the GEMM floor of this machine beside them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from .. import machine
from ..variants import find
from ..weights.named import is_variant
from . import statistics
from .macs import count_macs, padding_share, published_macs, useful_macs
from .models import PRECISIONS, outline
from .turns import Candidate, Measured, Pace, Until, take_turns

FLOOR = "GEMM floor"
PARTS = ("patch_embed", "merge", "attention", "mlp", "head", "norms")  # of a network; the log-CPB's mlp is of its attention
# large blocks stay with the process instead of going back to the system after each product, which would slow the floor down
KEEP_MEMORY = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296"}


@dataclass(frozen=True)
class Case:
    """One thing to measure, under every engine in turn."""

    precision: str
    batch: int
    size: tuple[int, int]


def cases_of(batches: Sequence[int], sizes: Sequence[tuple[int, int]], precisions: Sequence[str] = ()) -> list[Case]:
    """Every combination. Without ``precisions``: float32, and bfloat16 where it is in hardware."""
    hardware = machine.processor()["bfloat16"]
    chosen = precisions or [name for name in PRECISIONS if name == "float32" or hardware]
    return [Case(*each) for each in product(chosen, batches, sizes)]


def without_bfloat16(precisions: Sequence[str]) -> list[str]:
    """What is to be said of figures in ``precisions`` on a processor that does not multiply bfloat16; nothing on one that does."""
    if machine.processor()["bfloat16"] is not False:
        return []
    done = "emulated, and its figures say nothing of a processor that does" if "bfloat16" in precisions else "not measured"
    return [f"This processor does not multiply bfloat16, so that bfloat16 is {done}."]


def count(name: str, sizes: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
    """Parameters and MACs of the model or variant ``name`` at ``sizes`` (default: its own), JSON-ready."""
    model = outline(name)
    config = model.config
    published = next((row.gmacs for row in [find(name)] if row.gmacs), None) if is_variant(name) else None
    counted = []
    for size in sizes or [config.image_size]:
        parts = count_macs(config, size)
        counted.append(
            {
                "size": size, "parts": asdict(parts), "total": parts.total, "padding_share": padding_share(config, size),
                "papers_convention": published_macs(config, size),
                "published_gmacs": published if size == config.image_size else None,
            }
        )  # fmt: skip
    parameters = dict.fromkeys(PARTS, 0)
    for place, parameter in model.named_parameters():
        words = place.split(".")
        parameters[next((part for part in PARTS if part in words), "norms")] += parameter.numel()
    return {
        "model": name, "weights": "random" if is_variant(name) else "trained", "config": config.model_dump(mode="json"),
        "parameters": {"total": sum(parameters.values()), **parameters}, "macs": {"unit": "MAC, one picture", "counted": counted},
    }  # fmt: skip


def measure(
    name: str, cases: Sequence[Case], engines: Sequence[str], pace: Pace, floor: bool, until: Until,
    say: Callable[[str], Any] = lambda text: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """One JSON-ready row for each case and engine: latency of a batch, throughput, memory, share of the GEMM floor.

    ``until`` bounds the whole: cases that would begin later, and the one that was interrupted, are left out, each with a row that says so.
    Engines that cannot run have a row with ``fault``.
    """
    rows: list[dict[str, Any]] = []
    config = outline(name).config
    for case in cases:
        found = None
        if not (rows and until.why):
            say(f"{case.precision}, batch {case.batch}, {case.size[0]} x {case.size[1]} pixels")
            with until.keeping():
                found = take_turns(_candidates(name, case, engines, floor), pace, say=say)
        if found is None:
            rows += [{**asdict(case), "asked": engine, "fault": f"{engine}: left out, {until.why}"} for engine in engines]
            continue
        rows += [_row(case, found[each], found.get(FLOOR), useful_macs(config, case.size)) for each in engines]
    return rows


def _candidates(name: str, case: Case, engines: Sequence[str], floor: bool) -> list[Candidate]:
    arguments = {"model": name, "batch": case.batch, "size": case.size, "precision": case.precision}
    listed = [Candidate(each, "swinkit.study.subjects:swin", {**arguments, "engine": each}) for each in engines]
    return [*listed, Candidate(FLOOR, "swinkit.study.subjects:gemm_floor", arguments, KEEP_MEMORY)] if floor else listed


def _row(case: Case, measured: Measured, floor: Measured | None, macs: int) -> dict[str, Any]:
    row: dict[str, Any] = {**asdict(case), "asked": measured.name, **measured.about, "fault": measured.fault}
    if fault := measured.not_in(case.precision):  # beside whose floor and charts it does not belong
        return {**row, "precision": case.precision, "fault": fault}
    if not measured.turns:
        return row
    latency = statistics.median(measured.turns)
    row["latency_seconds"] = asdict(latency)
    row["pictures_per_second"] = case.batch / latency.value
    row["macs_per_second"] = case.batch * macs / latency.value
    row["memory_bytes"] = measured.memory
    row["turns"] = measured.to_dict()["turns"]
    if floor is not None and floor.turns:
        row["floor_seconds"] = asdict(statistics.median(floor.turns))
        row["share_of_floor"] = asdict(statistics.ratio(floor.turns, measured.turns))
    return row


def environment() -> dict[str, Any]:
    """What the figures hold for, JSON-ready: processor with its flags, memory, versions, command."""
    from .. import __version__

    packages = ("torch", "torchvision", "openvino", "onnxruntime", "numpy")
    return {
        "swinkit": __version__, "python": sys.version.split()[0], **{package: machine.version(package) for package in packages},
        "processor": machine.processor(), "memory_gib": machine.memory()["total"], "command": sys.argv,
    }  # fmt: skip
