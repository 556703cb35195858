"""Where the two attention layers of ``compare`` cost the same: by the paper's formulas, and by the clock."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinkit.cli.main import run
from swinkit.cli.pages import comparing as shown
from swinkit.report.page import render
from swinkit.study import bench, compare
from swinkit.study.attention_cost import STRIDE, WIDTH, WINDOW
from swinkit.study.macs import msa, window_msa


def timed(kind: str, seconds: dict[int, float]) -> list[dict[str, Any]]:
    """Rows of a layer that takes so many seconds at each side."""
    rows = [compare._layer(kind, side) for side in seconds]
    return [{**row, "latency_seconds": {"value": seconds[row["side"]], "low": None, "high": None}} for row in rows]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 12))
def test_the_formulas_agree_where_one_window_covers_the_map(rows, columns, side):
    apart = msa(rows, columns, WIDTH) - window_msa(rows, columns, WIDTH, side)
    assert np.sign(apart) == np.sign(rows * columns - side * side)


def test_their_crossing_is_a_side_in_pixels():
    side = compare.layers_meet([])["formula"]
    assert side == 112
    assert [layer["macs"] for layer in (compare._layer("MSA", side), compare._layer("W-MSA", side))] == [msa(7, 7, WIDTH)] * 2
    assert (side // STRIDE) ** 2 == WINDOW**2


@given(st.floats(130, 900))
def test_a_measured_crossing_is_found_where_it_lies(side):
    """MSA grows with the fourth power of the side, W-MSA with the square: straight in logarithms, as they are drawn."""
    sides = (112, 224, 448, 1024)
    layers = timed("MSA", {at: (at / side) ** 4 for at in sides}) + timed("W-MSA", {at: (at / side) ** 2 for at in sides})
    met = compare.layers_meet(layers)
    assert met["measured"] == [pytest.approx(side)]
    assert (met["sides"], met["faster"]) == ([112, 1024], "W-MSA")
    assert shown.met(met)[1] == f"one layer, measured: MSA and W-MSA cross at {side:.0f} pixels a side"


def test_where_nothing_crosses_the_faster_one_is_named():
    layers = timed("MSA", {224: 2.0, 448: 9.0}) + timed("W-MSA", {224: 1.0, 448: 4.0, 896: 16.0})
    assert shown.met(compare.layers_meet(layers))[1:] == [
        "one layer, measured: W-MSA takes less time at each side from 224 to 448 pixels"
    ]
    failed = [{**compare._layer(kind, 224), "fault": f"{kind}: no memory"} for kind in compare.LAYERS]
    assert len(shown.met(compare.layers_meet(failed))) == 1


def test_the_crossing_is_marked_on_the_page_and_the_layers_have_rows():
    layers = timed("MSA", {112: 1.0, 448: 9.0}) + timed("W-MSA", {112: 2.0, 448: 4.0})
    rows = [{**row, "model": "swin_t", "useful_macs": 1, "attention_macs": 1} for row in layers[:1]]
    result = {
        "precision": "float32", "rows": rows, "layers": layers, **compare.summarise(rows, layers), "environment": bench.environment(),
    }  # fmt: skip
    (side,) = result["layers_meet"]["measured"]
    (chart,) = shown._formulas(result)
    (mark,) = chart.marks
    assert mark[0] == side
    assert 1e3 < mark[1] < 9e3
    page = render(shown.page(result), "study.html.j2")
    assert all(f">{kind}</" in page for kind in compare.LAYERS)
    assert f"cross at {side:.0f} pixels" in page


def test_the_formulas_are_drawn_to_meet_where_they_agree():
    layers = timed("MSA", {112: 1.0, 448: 9.0}) + timed("W-MSA", {112: 2.0, 448: 4.0})
    for some, at in ((layers, 1e3), (layers[2:], 2e3)):
        (chart,) = shown._formulas({"layers": some})
        drawn = [dict(chart.lines[name]) for name in sorted(chart.dashed)]
        assert [line[112] for line in drawn] == pytest.approx([at] * len(drawn))
    (chart,) = shown._formulas({"layers": layers})
    assert chart.lines["Ω(MSA)"][1][1] > chart.lines["Ω(W-MSA)"][1][1]


def test_the_terminal_and_the_issue_have_them_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["compare", "swin_nano", "--image-size", "112", "--rounds", "1", "-q", "--out", str(tmp_path / "out")]
    assert run([*command, "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line, rule in pairwise(lines) if rule.startswith(("| -", "|-"))]
    assert [head.split("|")[1].strip() for head in heads] == ["model", "attention layer", "measured on"]
    assert {line.split("|")[1].strip() for line in lines if line.startswith("|")} > {"MSA", "W-MSA", "processor"}
    assert any(line.startswith("- formulas: MSA and W-MSA cross at 112 pixels a side") for line in lines)
    layers = json.loads((tmp_path / "out" / "compare.json").read_text("utf-8"))["layers"]
    assert len({row["macs"] for row in layers}) == 1
