"""Elements, scales and ticks that every chart is drawn from."""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinkit.data import collection
from swinkit.report import matrix, plots, svg
from swinkit.tasks import metrics

STYLE = Path(plots.__file__).with_name("templates").joinpath("report.css").read_text("utf-8")


@given(st.text(max_size=40))
def test_text_and_attributes_of_any_kind_stay_well_formed(text):
    element = ET.fromstring(str(svg.tag("text", text, data_name=text)))
    assert element.tag == "text"
    assert element.text in (collection.shown(text), None)
    assert element.attrib["data-name"] == collection.shown(text)


@given(st.text(max_size=60), st.integers(3, 30))
def test_shortened_names_fit_and_keep_both_ends(text, length):
    short = svg.shorten(text, length)
    assert len(short) <= length
    assert short == text or (text.startswith(short[0]) and text.endswith(short[-1]))


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 9))
def test_ticks_are_round_few_and_inside(low, span, about):
    high = low + span
    values = svg.ticks(low, high, about)
    slack = (abs(low) + span) * 1e-6
    assert all(low - slack <= value <= high + slack for value in values)
    assert len(values) <= about + 2
    steps = np.diff(values)
    if len(steps) > 1 and span > abs(low) * 1e-3:
        step = steps[0]
        assert np.allclose(steps, step, rtol=1e-3)
        mantissa = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(mantissa - good) for good in (1, 2, 5, 10)) < 1e-2


@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e9), st.integers(4, 6))
def test_ticks_of_a_logarithmic_scale_are_at_least_three_and_inside(low, ratio, about):
    high = low * ratio
    values = svg.log_ticks(low, high, about)
    assert 3 <= len(values) <= 2 * about + 2
    assert all(low * (1 - 1e-6) <= value <= high * (1 + 1e-6) for value in values)
    assert values == sorted(set(values))
    assert all(float(f"{value:.4g}") == pytest.approx(value, rel=1e-9) for value in values)


def test_ticks_of_a_narrow_logarithmic_scale():
    assert svg.log_ticks(3.1, 4.9, 4) == [3.5, 4.0, 4.5]
    assert svg.log_ticks(444, 462, 4) == [445, 450, 455, 460]
    assert svg.log_ticks(1.01, 9.99, 4) == [2, 3, 5, 7]
    assert svg.log_ticks(3, 2000, 4) == [10, 100, 1000]


def test_numbers_and_shares_are_written_shortly():
    assert [svg.number(value) for value in (0, 0.25, 1500.0, 0.00002, 1e-3)] == ["0", "0.25", "1,500", "2e-5", "0.001"]
    assert svg.percent(0.9412) == "94.1\u202f%"
    assert svg.percent(float("nan")) == "–"


def parse(markup):
    return ET.fromstring(str(markup))


def test_line_chart_bridges_what_is_not_finite_and_names_both_lines():
    lines = {"training": [(1, 2.0), (2, float("nan")), (3, 1.0)], "validation": [(1, 2.5), (3, float("inf"))]}
    chart = parse(plots.line_chart(plots.Curve("Loss", lines)))
    assert len(chart.find(".//polyline").attrib["points"].split()) == 2
    assert {"training", "validation"} <= {text.text for text in chart.iter("text")}
    assert "nan" not in str(plots.line_chart(plots.Curve("Loss", lines)))


def test_the_best_point_is_marked():
    chart = plots.line_chart(plots.Curve("Top-1", {"validation": [(1, 0.5), (2, 0.8), (3, 0.7)]}, share=True, best="max"))
    assert "best 80.0\u202f%" in str(chart)


def test_the_point_that_was_kept_is_marked_in_the_place_of_the_best():
    curve = plots.Curve("Top-1", {"validation": [(1, 0.5), (2, 0.8), (3, 0.7)]}, share=True, best="max", kept=3)
    assert "kept 70.0\u202f%" in str(plots.line_chart(curve))
    assert "best" not in str(plots.line_chart(curve))


def test_the_best_is_written_above_the_line_which_comes_from_below():
    chart = parse(
        plots.line_chart(plots.Curve("Top-1", {"validation": [(1, 0.5), (2, 0.4), (3, 0.8)]}, share=True, best="max"))
    )
    (text,) = (text for text in chart.iter("text") if (text.text or "").startswith("best"))
    (dot,) = chart.findall(".//circle[@class='dot dot-0']")
    assert 10 < float(text.attrib["y"]) < float(dot.attrib["cy"])


@pytest.mark.parametrize("spread", [1.0, 0.3, 0.06, 0.04, 0.004, 3e-5])
def test_ticks_of_shares_are_told_apart_and_exact(spread):
    lines = {"taken away": [(0, 1.0), (1, 1.0 - spread)]}
    for chart in (
        plots.line_chart(plots.Curve("Likeness", lines, share=True)),
        plots.interval_chart("Likeness", {"a": {"mean": 1.0}, "b": {"mean": 1.0 - spread}}, share=True),
    ):
        written = [text.text for text in parse(chart).iter("text") if "%" in (text.text or "")]
        assert len(set(written)) == len(written) > 1
        steps = np.diff([float(text.removesuffix("\u202f%")) for text in written])
        assert steps == pytest.approx(steps[0], rel=1e-3)


@pytest.mark.parametrize("classes", [2, 10, 26, 27, 100, 131, 400])
def test_every_confusion_is_drawn_once_whatever_the_number_of_classes(classes):
    generator = np.random.default_rng(classes)
    counts = generator.integers(0, 3, (classes, classes)) * (generator.random((classes, classes)) < 0.2)
    counts[0, 1] = 7
    names = [f"class {index}" for index in range(classes)]
    chart = parse(matrix.confusion_chart(counts, names))
    cells = sum(path.attrib["d"].count("M") for path in chart.iter("path"))
    assert cells == np.count_nonzero(counts)
    assert any(title.text.startswith("class 0 taken for class 1: 7") for title in chart.iter("title"))
    largest = matrix.most_confused(counts, names, 1)[0]
    assert (largest.truth, largest.said, largest.count) == ("class 0", "class 1", 7)
    assert len(str(matrix.confusion_chart(counts, names))) < 1_000_000


def test_a_class_without_pictures_and_a_perfect_model_are_drawn():
    perfect = np.diag([5, 0, 3])
    assert matrix.most_confused(perfect, ["a", "b", "c"]) == []
    assert "nan" not in str(matrix.confusion_chart(perfect, ["a", "b", "c"]))


def test_reliability_draws_a_bar_for_each_bin_with_pictures():
    bins = metrics.reliability(np.array([0.95, 0.97, 0.55]), np.array([True, False, True]))
    assert len(parse(plots.reliability_diagram(bins)).findall(".//rect[@class='bar']")) == 2


@given(st.lists(st.floats(0, 200), min_size=1, max_size=12))
def test_names_of_lines_keep_apart_and_above_the_axis(places):
    moved = svg.apart(places, gap=14, last=200)
    assert max(moved) <= 200
    assert all(after - before >= 14 - 1e-9 for before, after in pairwise(sorted(moved)))
    order = sorted(range(len(places)), key=lambda index: places[index])
    assert [moved[index] for index in order] == sorted(moved)


def test_many_lines_with_long_names_are_all_drawn_and_named_inside():
    name = "runs/classify/" + "x" * 200
    lines = {f"{index} {name}": [(1, 1 + index / 100), (2, 1.5)] for index in range(20)}
    chart = parse(plots.line_chart(plots.Curve("Milliseconds", lines, wide=True)))
    kinds = {line.attrib["class"] for line in chart.iter("polyline")}
    assert kinds == {f"line line-{order}" for order in range(plots.COLOURS)}
    assert all(f".{kind.split()[1]} {{" in STYLE for kind in kinds)
    written = [text for text in chart.iter("text") if text.attrib["class"].startswith("name")]
    assert len({text.text for text in written}) == 20
    assert all(len(text.text) <= plots.NAME for text in written)
    assert all(0 <= float(text.attrib["y"]) <= float(chart.attrib["height"]) for text in written)
    points = [tuple(map(float, point.split(","))) for line in chart.iter("polyline") for point in line.attrib["points"].split()]
    assert min(x for x, _ in points) >= plots.LEFT
    assert points[0][0] < points[1][0]
    assert any(name in title.text for title in chart.iter("title"))


@pytest.mark.parametrize("values", [(0.1, 0.2), (0.99999, 1.0), (123456.0, 987654.0), (1.00001, 1.00002)])
@pytest.mark.parametrize("share", [False, True])
def test_ticks_of_any_width_begin_inside_the_drawing(values, share):
    chart = parse(plots.line_chart(plots.Curve("Loss", {"a": list(enumerate(values))}, share=share)))
    ticks = [text for text in chart.iter("text") if text.attrib["class"] == "tick" and text.attrib["text-anchor"] == "end"]
    assert len(ticks) > 1
    assert min(float(text.attrib["x"]) - 6.7 * len(text.text) for text in ticks) >= 0


def test_a_line_that_ends_early_is_named_at_its_end():
    lines = {"all": [(1, 1.0), (4, 4.0)], "early": [(1, 3.0), (2, 2.0)]}
    chart = parse(plots.line_chart(plots.Curve("Loss", lines)))
    ends = [float(line.attrib["points"].split()[-1].split(",")[0]) for line in chart.iter("polyline")]
    names = [float(text.attrib["x"]) for text in chart.iter("text") if text.attrib["class"].startswith("name")]
    assert names == pytest.approx([end + 7 for end in ends], abs=0.1)


def test_notes_of_neighbouring_marks_do_not_touch():
    line = [(200.0, 1.0), (400.0, 2.0), (1600.0, 9.0)]
    marks = [(610.0, 3.0, "610"), (592.0, 2.9, "592"), (600.0, 2.9, "600"), (1400.0, 8.0, "1400")]
    chart = parse(plots.line_chart(plots.Curve("Milliseconds", {"one": line, "other": line}, log=True, marks=marks)))
    notes = [text for text in chart.iter("text") if text.attrib["class"] == "note"]
    places = sorted(float(text.attrib["y"]) for text in notes if text.text != "1400")
    assert len(notes) == 4
    assert min(np.diff(places)) >= 10
