from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinkit.study import statistics
from swinkit.study.crossing import crossings, exponent

TURNS = st.lists(st.lists(st.floats(1e-3, 10), min_size=1, max_size=4), min_size=1, max_size=6)


@given(TURNS)
def test_a_median_lies_within_its_interval_and_the_samples(turns):
    estimate = statistics.median(turns)
    pooled = np.concatenate(turns)
    assert estimate.value == pytest.approx(np.median(pooled))
    if len(turns) > 1:
        assert pooled.min() - 1e-12 <= estimate.low <= estimate.high <= pooled.max() + 1e-12


def test_one_turn_has_no_interval():
    """Its runs resemble one another, so that nothing is known of the next one."""
    estimate = statistics.median([[1.0, 1.1, 0.9]])
    assert (estimate.value, estimate.low, estimate.high) == (1.0, None, None)
    assert statistics.ratio([[2.0], [2.0]], [[1.0]]) == statistics.Estimate(2.0)
    assert estimate.inverse.scaled(2) == statistics.Estimate(2.0)
    assert statistics.figure(estimate, 1) == "1.0"


def test_figures_have_as_many_digits_as_tell_them():
    estimate = statistics.Estimate(0.0000412, 0.0000400, 0.0000431)
    assert statistics.figure(estimate, None, 1e3) == "0.0412 (0.0400–0.0431)"
    assert statistics.figure(asdict(statistics.Estimate(1.5, 1.25, 2.0)), 2) == "1.50 (1.25–2.00)"
    assert statistics.figure(None) == "–"
    assert [statistics.short(value) for value in (0, 0.00123, 4.125, 41.26, 4123.4)] == [
        "0",
        "0.00123",
        "4.12",
        "41.3",
        "4,123",
    ]


def test_an_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        turns = (1 + 0.1 * generator.standard_normal((12, 1)) + 0.01 * generator.standard_normal((12, 5))).tolist()
        estimate = statistics.median(turns)
        covered += estimate.low <= 1 <= estimate.high
    assert 0.86 <= covered / 200 <= 0.99  # runs of a turn hang together: taking them for independent would give half of this


def test_a_drift_that_falls_on_both_sides_leaves_their_ratio_alone():
    drift = np.linspace(1, 3, 10)
    fast = [[turn, turn] for turn in drift]
    slow = [[2 * turn, 2 * turn] for turn in drift]
    estimate = statistics.ratio(slow, fast)
    assert (estimate.low, estimate.value, estimate.high) == pytest.approx((2, 2, 2))
    assert statistics.median(slow).high > 1.3 * statistics.median(slow).low


def test_nothing_measured_is_said():
    with pytest.raises(ValueError, match="nothing was measured"):
        statistics.median([])


def test_inverse_and_scale():
    estimate = statistics.Estimate(2.0, 1.0, 4.0)
    assert estimate.inverse == statistics.Estimate(0.5, 0.25, 1.0)
    assert estimate.scaled(3) == statistics.Estimate(6.0, 3.0, 12.0)


@given(st.floats(0.5, 3), st.floats(0.5, 3), st.floats(1.5, 800))
def test_power_laws_cross_where_algebra_says(one, other, place):
    if abs(one - other) < 0.05:
        return
    sides = [1.0, 10.0, 100.0, 1000.0]
    found = crossings({s: (s / place) ** one for s in sides}, {s: (s / place) ** other for s in sides})
    assert found == [pytest.approx(place, rel=1e-6)]
    assert exponent({s: 7 * s**one for s in sides}) == pytest.approx(one)


def test_curves_that_do_not_cross_or_touch():
    assert crossings({1: 1.0, 2: 2.0}, {1: 2.0, 2: 4.0}) == []
    assert crossings({1: 1.0, 2: 2.0}, {3: 2.0}) == []
    assert crossings({1: 1.0, 2: 2.0, 4: 5.0}, {1: 2.0, 2: 2.0, 4: 4.0}) == [2]
    assert crossings({1: 1.0, 2: 2.0}, {1: 2.0, 2: 2.0}) == [2]
    assert exponent({1.0: 3.0}) is None


def test_a_quantile_is_of_all_runs_whatever_their_turn():
    turns = [[5.0, 1.0], [3.0], [2.0, 4.0]]
    assert statistics.quantile(turns, 0.5) == statistics.median(turns).value == 3.0
    assert statistics.quantile(turns, 0.95) == pytest.approx(4.8)
