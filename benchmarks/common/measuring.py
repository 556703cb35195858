"""The mechanism of every benchmark: options, turns, results written after each case, a table with the bar beside each figure."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a script's own folder alone is on the path

from swinkit import machine  # noqa: E402
from swinkit.study import statistics  # noqa: E402
from swinkit.study.plans import FLOOR, KEEP_MEMORY  # noqa: E402
from swinkit.study.statistics import figure  # noqa: E402
from swinkit.study.turns import Candidate, Measured, Pace, take_turns  # noqa: E402
from swinkit.weights.atomic import write_json  # noqa: E402

from .bars import MET, MISSED  # noqa: E402
from .render import command  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("torch", "torchvision", "timm", "transformers", "onnxruntime", "openvino", "numpy", "pillow", "scikit-learn")
GATE = 4  # the exit code of every verb of swinkit where a gate of quality failed
NO_BFLOAT16 = "this processor does not multiply bfloat16"

__all__ = [
    "FLOOR",
    "KEEP_MEMORY",
    "Candidate",
    "Measured",
    "Pace",
    "Results",
    "Table",
    "best",
    "bfloat16",
    "faster",
    "figure",
    "listed",
    "medians",
    "options",
    "take_turns",
    "tell",
    "timed",
]


def options(script: str, description: str | None, **defaults: Any) -> argparse.Namespace:
    """Arguments of a benchmark; ``defaults`` are added as options. ``--quick`` is a tiny form that shows that everything runs.

    The attribute ``said`` holds the options that are not at their default, as a command line has them.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help=f"by default benchmarks/results/{Path(script).stem}.json")
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default {value}")
    chosen = parser.parse_args()
    other = {name: given for name, value in defaults.items() if (given := getattr(chosen, name)) != value}
    chosen.said = "".join(f" --{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in other.items())
    if chosen.out is None:
        folder = Path(tempfile.mkdtemp(prefix="swinkit-quick-")) if chosen.quick else RESULTS
        chosen.out = folder / f"{Path(script).stem}.json"
    return chosen


def listed(text: str, known: Iterable[str]) -> list[str]:
    """The names in ``text``, commas between them; raises SystemExit for one that is not ``known``."""
    names, known = text.split(","), list(known)
    if strange := [name for name in names if name not in known]:
        raise SystemExit(f"{', '.join(strange)}: known are {', '.join(known)}")
    return names


def bfloat16() -> bool:
    """Whether this processor multiplies bfloat16, as far as is known."""
    return machine.processor()["bfloat16"] is not False


def tell(text: str, passing: bool = False) -> None:
    """What a measurement says of itself, without what is passing."""
    if not passing:
        print(f"  {text}", flush=True)


class Table(NamedTuple):
    """What the README shows of a benchmark."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "rows": [list(row) for row in self.rows], "notes": list(self.notes)}

    def text(self) -> str:
        cells = [list(self.columns), *map(list, self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
        return "\n".join([*lines, *self.notes])


class Results:
    """The JSON of one benchmark, on disk with the table of what there is after every :meth:`add`, so that one who stops it loses nothing.

    ``script`` is its ``__file__``; ``table`` makes the table of the cases measured so far; ``said`` are its options. Until :meth:`finish` is called, the file says
    ``"unfinished": true``.
    """

    def __init__(self, script: str, out: Path, table: Callable[[list[dict[str, Any]]], Table], said: str = "") -> None:
        self.out, self.table = out, table
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.name, place = Path(script).stem, out.resolve()
        kept = place.relative_to(RESULTS).with_suffix("").as_posix() if place.is_relative_to(RESULTS) else self.name
        self.begun = time.monotonic()
        self.content: dict[str, Any] = {
            "benchmark": self.name, "command": command(kept) + said, "environment": environment(), "cases": [],
            "unfinished": True,
        }  # fmt: skip

    def keep(self, stays: Callable[[dict[str, Any]], bool]) -> None:
        """Begin with those cases of before that ``stays`` names; raises SystemExit where another processor measured them."""
        before = json.loads(self.out.read_text(encoding="utf-8")) if self.out.exists() else {"cases": []}
        kept = [case for case in before["cases"] if stays(case)]
        if kept and before["environment"]["processor"]["name"] != self.content["environment"]["processor"]["name"]:
            raise SystemExit(f"{self.out} is of another processor. Mend: measure all of it anew, or take another --out")
        for case in kept:
            self.add(case)

    def add(self, case: dict[str, Any]) -> None:
        self.content["cases"].append(case)
        self.save()
        try:
            self.tabulate()
        except Exception as fault:  # costs what is still to be measured nothing; finish raises it
            tell(f"no table yet: {fault!r}")

    def measure(self, cases: Iterable[Any], run: Callable[[Any], dict[str, Any]]) -> None:
        """Add what ``run`` says of each of ``cases``; of those in bfloat16 that this processor does not multiply, just that."""
        for case in cases:
            impossible = case.precision == "bfloat16" and not bfloat16()
            self.add({**case._asdict(), "fault": NO_BFLOAT16} if impossible else run(case))

    def save(self) -> None:
        self.content["seconds"] = round(time.monotonic() - self.begun, 1)
        write_json(self.out, self.content)

    def tabulate(self) -> Table:
        table = self.table(self.content["cases"])
        self.content["table"] = table.to_dict()
        self.save()
        return table

    def finish(self) -> None:
        """Everything was measured: keep the table that the README shows, and print it. Raises SystemExit with code 4 where a bar was missed."""
        del self.content["unfinished"]
        table = self.tabulate().text()
        print(table)
        print(f"Written: {self.out}, {self.content['seconds']:.0f} s")
        if missed := table.count(MISSED):
            print(f"Bars: {table.count(MET)} met, {missed} missed")
            raise SystemExit(GATE)


def environment() -> dict[str, Any]:
    return {
        "python": sys.version.split()[0], **{package: machine.version(package) for package in PACKAGES},
        "processor": machine.processor(), "memory_gib": machine.memory()["total"],
    }  # fmt: skip


def timed(subjects: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of one call of each of ``subjects``, in turn."""
    taken = {}
    for name, subject in subjects.items():
        begun = time.perf_counter()
        subject()
        taken[name] = round(time.perf_counter() - begun, 4)
    return taken


def medians(cases: Sequence[Mapping[str, Any]]) -> dict[str, statistics.Estimate]:
    """The median seconds of each subject over ``cases``, of which each holds a round of :func:`timed` as ``"seconds"``."""
    return {name: statistics.median([[case["seconds"][name]] for case in cases]) for name in cases[0]["seconds"]}


def best(found: dict[str, Measured], names: Sequence[str]) -> str | None:
    """The fastest of ``names`` that was measured."""
    measured = [name for name in names if name in found and found[name].turns]
    return min(measured, key=lambda name: statistics.median(found[name].turns).value, default=None)


def faster(found: dict[str, Measured], ours: str, theirs: str | None) -> statistics.Estimate | None:
    """How many times as fast ``ours`` is as ``theirs``, where both were measured."""
    if theirs is None or not found[ours].turns or not found[theirs].turns:
        return None
    return statistics.ratio(found[theirs].turns, found[ours].turns)
