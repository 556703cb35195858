"""Figures of ``bench`` as charts and a page, and what it shares with ``compare``: what is remarked, kept and told meanwhile."""

from __future__ import annotations

import shlex
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import Interrupted, SwinkitError
from ...report.measures import Chapter, StudyPage, Table, write_study
from ...report.page import Headline
from ...report.plots import Curve
from ...study.statistics import short
from ...weights.atomic import write_json
from ..options import say
from .tables import by, engine_of, macs_table, parameters_table, speed_table

if TYPE_CHECKING:
    from ...study.turns import Until

COUNTED = (
    "One MAC is a multiplication with its addition; FLOPs by most counters are twice that. All matrix products are counted, padding where "
    "it is computed; softmax, GELU, norms and additions are not. The papers' convention counts no padding and no log-CPB network, but one for "
    "each element of a norm, and calls the sum FLOPs."
)

CALLS = "Where a share is clearly above 1, the products are so small that the floor measures the calls of oneDNN, and is none for an engine that makes fewer."
SPEED = (
    "Each row was measured in a process of its own, those of a case in turn, on up to 32 different inputs. The time of a batch is the median run, p95 the one that 5 % are slower than. "
    "The floor is how fast this machine does nothing but the linear layers, with packed weights; the share is floor over latency. Peak memory is that of the whole process while it ran; "
    "ours is what came after the libraries were imported. An engine was built before its first run, in which torch and libraries still settle what they leave to it."
)
STEP = "A row is one training step: forward, cross-entropy, backward and a fused AdamW, native as `swinkit train` steps, plain by torch alone. "


def remarks(result: Mapping[str, Any]) -> list[str]:
    """What is to be said of the figures of ``bench``, and what could not be measured, where and why, once each."""
    faults = (
        f"{row['precision']}, batch {row['batch']}, {by(row['size'])}: {row['fault']}"
        for row in result["rows"]
        if row.get("fault")
    )
    return list(dict.fromkeys([*result.get("remarks", ()), *faults]))


def remarked(remarks: Sequence[str]) -> list[Table]:
    """``remarks`` as a table; none where there are none."""
    return [Table(["Remarks"], [[remark] for remark in remarks])] if remarks else []


def bound_by_calls(row: Mapping[str, Any]) -> bool:
    """Whether the floor of ``row`` is no floor: an engine needs clearly less."""
    return row.get("share_of_floor", {"value": 0.0})["value"] > 1.1


def bench_page(result: Mapping[str, Any], name: str) -> StudyPage:
    """The page of ``swinkit bench`` from its JSON."""
    rows, counted = result["rows"], result["macs"]["counted"]
    measured = [row for row in rows if "latency_seconds" in row]
    headlines = [
        Headline("Parameters", f"{short(result['parameters']['total'] / 1e6)} M"),
        Headline("MACs of a picture", f"{short(counted[0]['total'] / 1e9)} G", note=f"{by(counted[0]['size'])} pixels"),
    ]
    if measured:
        best = min(measured, key=lambda row: row["latency_seconds"]["value"])
        note = f"{engine_of(best)}, {best['precision']}, batch {best['batch']}, {by(best['size'])}"
        headlines.append(Headline("Fastest batch", f"{short(best['latency_seconds']['value'] * 1e3)} ms", note=note))
        if "share_of_floor" in best and not bound_by_calls(best):
            headlines.append(Headline("Of the GEMM floor", f"{best['share_of_floor']['value']:.0%}", note="the same row"))
    speed = STEP + SPEED if result.get("step") == "training" else SPEED
    if any(map(bound_by_calls, measured)):
        speed += " " + CALLS
    return StudyPage(
        f"What {name} costs",
        f"Swin V{result['config']['version']} with {result['weights']} weights: what it computes, how fast, and how fast it could be.",
        headlines,
        [
            Chapter(
                "Speed and memory", speed, _charts(measured), [speed_table(rows), *remarked(remarks(result))] if rows else []
            ),
            Chapter("MACs", COUNTED, tables=[macs_table(counted)]),
            Chapter("Parameters", tables=[parameters_table(result["parameters"])]),
        ],
        machine_facts(result["environment"]),
        [shlex.join(["swinkit", *result["environment"]["command"][1:]])],
    )


def _charts(rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Latency a picture and memory over whatever was varied: batch or pixels."""
    answer = []
    for axis, at in (
        ("batch", lambda row: row["batch"]),
        ("pixels a side", lambda row: (row["size"][0] * row["size"][1]) ** 0.5),
    ):
        if len({at(row) for row in rows}) < 2:
            continue
        first = {"batch": rows[0]["batch"], "size": rows[0]["size"]}
        fixed = "size" if axis == "batch" else "batch"
        chosen = [row for row in rows if row[fixed] == first[fixed]]
        time, memory, floor = (defaultdict[str, list[tuple[float, float]]](list) for _ in range(3))
        for row in chosen:
            name = f"{row['asked']}, {row['precision']}"
            time[name].append((at(row), row["latency_seconds"]["value"] * 1e3 / row["batch"]))
            if row["memory_bytes"].get("peak"):
                memory[name].append((at(row), row["memory_bytes"]["peak"] / 1e6))
            if "floor_seconds" in row:
                floor[f"floor, {row['precision']}"].append((at(row), row["floor_seconds"]["value"] * 1e3 / row["batch"]))
        # floors last, so that an engine has the same colour in both charts
        lines, needed = ({name: sorted(set(points)) for name, points in found.items()} for found in (time | floor, memory))
        held = f"{by(first['size'])} pixels" if fixed == "size" else f"batch {first['batch']}"
        answer.append(
            Curve(f"Milliseconds a picture, {held}", lines, across=axis, unit=" ms", wide=True, dashed=frozenset(floor))
        )
        answer.append(Curve(f"Peak memory, MB, {held}", needed, across=axis, unit=" MB", wide=True))
    return answer


def machine_facts(environment: Mapping[str, Any]) -> dict[str, str]:
    """What the figures hold for, in words."""
    processor = environment["processor"]
    cores = f"{processor['name']}, {processor['usable_cores']} of {processor['cores']} cores"
    versions = ("swinkit", "python", "torch", "torchvision", "openvino", "onnxruntime")
    return {
        "processor": cores,
        "threads": f"OMP_NUM_THREADS={processor['threads']}" if processor["threads"] else "one for each core",
        "flags": ", ".join(processor["flags"] or ["not known"]),
        "versions": ", ".join(f"{name} {environment[name]}" for name in versions if environment.get(name)),
    }


def machine_table(environment: Mapping[str, Any]) -> Table:
    """:func:`machine_facts` as rows, for figures that leave this machine."""
    return Table(["measured on", ""], [[name, text] for name, text in machine_facts(environment).items()], words=2)


def check_measured(rows: Sequence[Mapping[str, Any]], until: Until) -> None:
    """Raise :class:`Interrupted` where the user stopped a measurement, :class:`SwinkitError` where none of ``rows`` could be measured; by then
    what there is has been shown and kept."""
    if until.interrupted:
        raise Interrupted("Stopped: what was measured before is shown, and what it left out is named")
    if any(row.get("fault") for row in rows) and not any("latency_seconds" in row for row in rows):
        raise SwinkitError("Nothing could be measured; the warnings above say why")


def keep(result: Mapping[str, Any], page: StudyPage, folder: Path, name: str) -> Path:
    """``result`` as NAME.json and ``page`` as NAME.html in ``folder``; returns the latter's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", result)
    return write_study(folder / f"{name}.html", page)


class Narrator:
    """Tells a measurement on stderr: what lasts as lines, what is passing on one line that a terminal rewrites."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console

        self._quiet = quiet
        self._status = Console(stderr=True, quiet=quiet).status("starting")

    def __call__(self, text: str, passing: bool = False) -> None:
        if passing:
            self._status.update(text)
        else:
            say(text, self._quiet)

    def __enter__(self) -> Narrator:
        if sys.stderr.isatty():
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
