"""What learning without labels cost and brought, as rows of a table: pictures, epochs, minutes, labels, gain.

Of results/simmim_pays.json and results/sparse.json, whose cells :mod:`experiments.cells` wrote. Minutes are of processor time.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from .arms import FAITHFUL, NOTHING, SPARSE, Arm

COLUMNS = (
    "start", "pictures without labels", "epochs without labels", "minutes without labels", "labels", "epochs with labels",
    "minutes with labels", "top-1", "points more (95 % interval)", "than",
)  # fmt: skip
NONE = "–"


def budget(result: dict[str, Any]) -> list[list[str]]:
    """A header, and a row for each arm and number of labels that the experiment ``result`` holds."""
    found = []
    for arm in (*FAITHFUL, *SPARSE, *NOTHING):
        for labels in result["plan"]["labels"]:
            if tried := trainings(result, arm, labels):
                found.append(row(result, arm, labels, tried))
    return [list(COLUMNS), *found]


def row(result: dict[str, Any], arm: Arm, labels: int, tried: dict[int, list[dict[str, Any]]]) -> list[str]:
    """``tried`` are the trainings of ``arm`` by their epochs; those that did best on the pictures held aside are told, as the experiment chose."""
    tries = result["plan"]["tries"]
    epochs = max(tried, key=lambda epochs: fmean(cell["value"]["held"] for cell in tried[epochs][:tries]))
    encoder = result["cells"].get(f"encoder: {arm.encoder}")
    learned = (
        [f"{result['plan']['pictures']:,}", str(encoder["value"]["epochs"]), minutes([encoder])] if encoder else [NONE] * 3
    )
    top1 = fmean(cell["value"]["top1"] for cell in tried[epochs])
    return [arm.name, *learned, f"{labels:,}", str(epochs), minutes(tried[epochs]), f"{top1:.1%}", *gain(result, arm, labels)]


def trainings(result: dict[str, Any], arm: Arm, labels: int) -> dict[int, list[dict[str, Any]]]:
    """By epochs, the cells in which ``arm`` learned from ``labels``, in the order of their seeds."""
    found: dict[int, list[dict[str, Any]]] = {}
    for name, cell in result["cells"].items():
        start, _, told = name.partition(f"; {labels} labels; ")
        if start == arm.name and told:
            found.setdefault(int(told.split()[0]), []).append(cell)
    return found


def gain(result: dict[str, Any], arm: Arm, labels: int) -> list[str]:
    """How many points ``arm`` lies above what it was compared with, and with what, by the claim that names it."""
    promised = f"{arm.name}: with {labels} labels above "
    for claim in result["claims"]:
        if claim["text"].startswith(promised):
            mean, low, high = (100 * claim["difference"][key] for key in ("mean", "low", "high"))
            return [f"{mean:+.1f} ({low:+.1f} to {high:+.1f})", claim["text"].removeprefix(promised)]
    return [NONE, NONE]


def minutes(cells: list[dict[str, Any]]) -> str:
    """The mean of those ``cells`` that were not killed in the middle."""
    known = [cell["processor_seconds"] for cell in cells if cell["processor_seconds"] is not None]
    return f"{fmean(known) / 60:.1f}" if known else NONE
