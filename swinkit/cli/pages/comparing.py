"""Figures of ``compare`` as tables, sentences, charts and a page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...report.measures import Chapter, StudyPage, Table
from ...report.plots import Curve
from ...study.compare import LAYERS, QUANTITIES, curve
from ...study.statistics import figure, short
from .studying import machine_facts, remarked


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Every row of the comparison, sides first."""
    columns = ("model", "pixels a side", "GMACs", "between tokens", "ms", "ns a pixel", "GMAC/s", "memory, MB")
    cells = []
    for row in sorted(rows, key=lambda row: row["side"]):
        seconds = row["latency_seconds"]["value"] if row.get("latency_seconds") else None
        cells.append(
            [
                row["model"],
                str(row["side"]),
                short(row["macs"] / 1e9),
                f"{row['attention_macs'] / row['macs']:.1%}",
                figure(row.get("latency_seconds"), None, 1e3),
                short(seconds / row["side"] ** 2 * 1e9) if seconds else "–",
                short(row["useful_macs"] / seconds / 1e9) if seconds else "–",
                short(row["memory_bytes"] / 1e6) if row.get("memory_bytes") else "–",
            ]
        )
    return Table(columns, cells)


def layers_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """The two attention layers at every side: what the formulas count, and what they take."""
    cells = []
    for row in layers:
        seconds = row["latency_seconds"]["value"] if row.get("latency_seconds") else None
        speed = short(row["macs"] / seconds / 1e9) if seconds else "–"
        cells.append(
            [row["layer"], str(row["side"]), short(row["macs"] / 1e9), figure(row.get("latency_seconds"), None, 1e3), speed]
        )
    return Table(("attention layer", "pixels a side", "GMACs by formula", "ms", "GMAC/s"), cells)


def met(layers_meet: Mapping[str, Any]) -> list[str]:
    """Where MSA and W-MSA cost the same, in words: by the formulas, and by the clock."""
    both = " and ".join(LAYERS)
    said = [f"formulas: {both} cross at {layers_meet['formula']} pixels a side, where one window covers the map"]
    said += [f"one layer, measured: {both} cross at {side:.0f} pixels a side" for side in layers_meet["measured"]]
    if layers_meet["sides"] and not layers_meet["measured"]:
        first, last = layers_meet["sides"]
        where = f"at each side from {first:.0f} to {last:.0f} pixels" if first < last else f"at {first:.0f} pixels a side"
        said.append(f"one layer, measured: {layers_meet['faster']} takes less time {where}")
    return said


def sentences(result: Mapping[str, Any]) -> list[str]:
    """The crossings and the growth, in words."""
    said = [
        f"{each['quantity']}: {each['one']} and {each['other']} cross at {each['side']:.0f} pixels a side"
        for each in result["crossings"]
    ]
    grown: dict[str, list[str]] = {}
    for each in result["growth"]:
        if each["power"] is not None:
            grown.setdefault(each["quantity"], []).append(f"{each['of']} {each['power']:.2f}")
    return [
        *said,
        *(met(result["layers_meet"]) if "layers_meet" in result else []),
        *(
            f"{quantity}, the power of the number of pixels with which it grows: {', '.join(of)}"
            for quantity, of in grown.items()
        ),
    ]


def remarks(result: Mapping[str, Any]) -> list[str]:
    """What is to be said of the figures, and what could not be measured, at which side and why, once each."""
    every = [*result["rows"], *result["layers"]]
    faults = (f"{row['side']} pixels: {row['fault']}" for row in every if row.get("fault"))
    return list(dict.fromkeys([*result.get("remarks", ()), *faults]))


def page(result: Mapping[str, Any]) -> StudyPage:
    """The page of ``swinkit compare`` from its JSON."""
    rows = result["rows"]
    names = list(dict.fromkeys(row["model"] for row in rows))
    formulas = (
        "One attention layer of Swin-T's third stage, which has DeiT-S's width and stride: C = 384, h x w tokens, M = 7. Solid lines are measured; dashed "
        "ones are Ω(MSA) = 4hwC² + 2(hw)²C and Ω(W-MSA) = 4hwC² + 2M²hwC (Swin, equations 1 and 2), both at the speed that MSA was measured with at the smallest "
        "picture. The two formulas agree where one window covers the map, hw = M². GMAC/s counts what they count: not the padding that W-MSA computes "
        "besides where windows do not divide the map."
    )
    return StudyPage(
        f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0],
        f"One picture, {result['precision']}, over resolutions: what is computed, how long it takes, how much memory it needs.",
        chapters=[
            Chapter("Crossings and growth", tables=[Table(["What was found"], [[text] for text in sentences(result)])]),
            Chapter("Over resolutions", charts=_charts(result, names), tables=[table(rows), *remarked(remarks(result))]),
            Chapter("The paper's formulas", formulas, _formulas(result), [layers_table(result["layers"])]),
        ],
        facts=machine_facts(result["environment"]),
        commands=[shlex.join(["swinkit", *result["environment"]["command"][1:]])],
    )


def _charts(result: Mapping[str, Any], names: Sequence[str]) -> list[Curve]:
    drawn = (
        ("macs", "GMACs", 1e9, ""),
        ("latency_seconds", "Milliseconds", 1e-3, " ms"),
        ("memory_bytes", "Memory, MB", 1e6, " MB"),
    )
    charts = []
    for quantity, title, unit, suffix in drawn:
        curves = {name: curve(result["rows"], name, quantity) for name in names}
        lines = {name: [(at, value / unit) for at, value in points.items()] for name, points in curves.items()}
        marks = []
        for each in result["crossings"]:
            if each["quantity"] == QUANTITIES[quantity]:
                marks.append((each["side"], _between(curves[each["one"]], each["side"]) / unit, f"{each['side']:.0f}"))
        charts.append(Curve(title, lines, across="pixels a side", unit=suffix, log=True, wide=True, marks=marks))
    pixel = {
        name: [(at, value / at**2 * 1e9) for at, value in curve(result["rows"], name, "latency_seconds").items()]
        for name in names
    }
    return [*charts, Curve("Nanoseconds a pixel", pixel, across="pixels a side", unit=" ns", log=True, wide=True)]


def _between(points: Mapping[float, float], at: float) -> float:
    """The value of a curve at a place between two of its points, straight in the logarithm of both axes."""
    return float(np.exp(np.interp(np.log(at), np.log(list(points)), np.log(list(points.values())))))


def _formulas(result: Mapping[str, Any]) -> list[Curve]:
    lines, computed, marks = {}, set(), []
    pace = None
    for kind in LAYERS:
        macs, seconds = (curve(result["layers"], kind, quantity) for quantity in ("macs", "latency_seconds"))
        if not seconds:
            continue
        # one for both, or the formulas would not meet where they agree
        pace = pace or seconds[min(seconds)] / macs[min(seconds)]
        lines[f"{kind}, measured"] = [(at, value * 1e3) for at, value in seconds.items()]
        lines[f"Ω({kind})"] = [(at, value * pace * 1e3) for at, value in macs.items()]
        computed.add(f"Ω({kind})")
    for side in result.get("layers_meet", {"measured": []})["measured"]:
        marks.append((side, _between(curve(result["layers"], LAYERS[0], "latency_seconds"), side) * 1e3, f"{side:.0f}"))
    return [
        Curve(
            "Milliseconds of one layer",
            lines,
            across="pixels a side",
            unit=" ms",
            log=True,
            wide=True,
            dashed=frozenset(computed),
            marks=marks,
        )
    ]
