"""What a model costs: parameters and MACs counted, latency and memory measured, the GEMM floor of this machine beside them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

from .. import machine
from ..variants import find
from ..weights.named import is_variant
from . import statistics
from .macs import count_macs, padding_share, published_macs, useful_macs
from .models import outline
from .plans import FLOOR, BenchPlan, Case, Way
from .turns import Measured, Pace, Say, Until, take_turns, unheard

PARTS = ("patch_embed", "merge", "attention", "mlp", "head", "norms")  # of a network; the log-CPB's mlp is of its attention
SLOW = 0.95  # the share of all runs that are faster than the slow one that is told


def cases_of(plan: BenchPlan, batches: Sequence[int], sizes: Sequence[tuple[int, int]]) -> list[Case]:
    """Every combination of the precisions of ``plan`` with ``batches``, by default those of ``plan``, and ``sizes``."""
    return [Case(*each) for each in product(plan.precisions, batches or plan.batches, sizes)]


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


def measure(cases: Sequence[Case], plan: BenchPlan, pace: Pace, until: Until, say: Say = unheard) -> list[dict[str, Any]]:
    """One JSON-ready row for each case and way of ``plan``: latency of a batch, throughput, memory, share of the GEMM floor.

    ``until`` bounds the whole: cases that would begin later, and the one that was interrupted, are left out, each with a row that says so.
    What cannot run has a row with ``fault``.
    """
    rows: list[dict[str, Any]] = []
    config = outline(plan.model).config
    for case in cases:
        found, ways = None, plan.beside(case, cases)
        if not (rows and until.why):
            say(f"{case.precision}, batch {case.batch}, {case.size[0]} x {case.size[1]} pixels")
            with until.keeping():
                found = take_turns(plan.candidates(case, ways), pace, say=say)
        if found is None:
            rows += [
                {
                    **asdict(case),
                    "precision": way.precision or case.precision,
                    "asked": way.name,
                    "fault": f"{way.name}: left out, {until.why}",
                }
                for way in ways
            ]
            continue
        # the MACs of a step back are another matter
        macs = useful_macs(config, case.size) if plan.step == "inference" else None
        rows += [_row(case, way, found[way.name], found.get(FLOOR), macs) for way in ways]
    return rows


def _row(case: Case, way: Way, measured: Measured, floor: Measured | None, macs: int | None) -> dict[str, Any]:
    own = way.precision or case.precision
    row: dict[str, Any] = {**asdict(case), "precision": own, "asked": way.name, **measured.about, "fault": measured.fault}
    if fault := measured.not_in(own):  # beside whose floor and charts it does not belong
        return {**row, "precision": own, "fault": fault}
    if not measured.turns:
        return row
    latency = statistics.median(measured.turns)
    row["latency_seconds"] = asdict(latency)
    row["latency_p95_seconds"] = statistics.quantile(measured.turns, SLOW)
    row["runs"] = sum(map(len, measured.turns))
    row["pictures_per_second"] = case.batch / latency.value
    if macs is not None:
        row["macs_per_second"] = case.batch * macs / latency.value
    row["memory_bytes"] = measured.memory
    row["turns"] = measured.to_dict()["turns"]
    if floor is not None and floor.turns and own == case.precision:
        row["floor_seconds"] = asdict(statistics.median(floor.turns))
        row["share_of_floor"] = asdict(statistics.ratio(floor.turns, measured.turns))
    return row


def environment(threads: int | None = None) -> dict[str, Any]:
    """What the figures hold for, JSON-ready: processor with its flags and the ``threads`` that were asked for, memory, versions, command."""
    from .. import __version__

    packages = ("torch", "torchvision", "openvino", "onnxruntime", "numpy")
    processor = machine.processor() if threads is None else {**machine.processor(), "threads": str(threads)}
    return {
        "swinkit": __version__, "python": sys.version.split()[0], **{package: machine.version(package) for package in packages},
        "processor": processor, "memory_gib": machine.memory()["total"], "command": sys.argv,
    }  # fmt: skip
