from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit.data.fitting import fitting
from swinkit.study.sizes import advise, describe


def of(*sizes: tuple[int, int]) -> np.ndarray:
    return np.array(sizes)


def test_describe():
    pictures = describe(of((100, 200), (50, 100), (150, 300)))
    assert (pictures.median, pictures.smallest, pictures.largest) == ((100, 200), (50, 100), (150, 300))
    assert (pictures.aspect, pictures.alike, pictures.count) == (2.0, True, 3)
    assert not describe(of((100, 200), (200, 100))).alike


@pytest.mark.parametrize(
    ("side", "gpu", "variant", "size", "window"),
    [(8, False, "swin_nano", 28, 7), (28, False, "swin_nano", 28, 7), (32, True, "swin_nano", 32, 8), (60, False, "swin_nano", 60, 6),
     (64, False, "swin_nano", 64, 8), (96, False, "swin_nano", 112, 7), (1000, False, "swin_nano", 112, 7), (1000, True, "swin_t", 224, 7)],
)  # fmt: skip
def test_the_advice_is_what_training_takes_by_itself(side, gpu, variant, size, window):
    best = advise(of((side, side)), 3, fitting((side, side), gpu)).best
    assert (best.variant, best.size, best.window) == (variant, (size, size), window)
    assert best.why.startswith("what `swinkit train` takes by itself")


@pytest.mark.parametrize(
    ("side", "variant", "size", "window"),
    [
        (28, "swin_nano", 32, 8),
        (60, "swin_nano", 64, 8),
        (96, "swin_t", 96, 12),
        (150, "swin_t", 160, 10),
        (224, "swin_t", 224, 7),
    ],
)
def test_beside_it_stands_the_nearest_size_without_padding(side, variant, size, window):
    beside = advise(of((side, side))).choices[1]
    assert (beside.variant, beside.size, beside.window) == (variant, (size, size), window)
    assert beside.padding < 0.005


def test_no_way_is_listed_twice():
    for side in (32, 64, 224, 1000):
        for gpu in (False, True):
            found = advise(of((side, side)), 3, fitting((side, side), gpu)).choices
            assert len({(one.variant, one.size, one.patch, one.window) for one in found}) == len(found)


def test_own_size_names_its_waste():
    own = next(choice for choice in advise(of((28, 28))).choices if choice.size == (28, 28))
    assert 0.03 < own.padding < 0.15
    assert f"{own.padding:.0%} of the work on padding" in own.why


def test_elongated_pictures_get_a_rectangle():
    wide, photo = advise(of(*[(1080, 1920)] * 5)), advise(of(*[(3000, 4000)] * 5))
    assert wide.best.size[1] > wide.best.size[0]
    assert wide.best.cut < 0.15
    assert "wider than high" in wide.best.why
    assert photo.best.size == (112, 112)
    assert any(choice.size[1] > choice.size[0] for choice in photo.choices)
    high = advise(of(*[(1920, 1080)] * 5))
    assert high.best.size == tuple(reversed(wide.best.size))
    mixed = advise(of(*[(1080, 1920), (1920, 1080)] * 5))
    assert all(choice.size[0] == choice.size[1] for choice in mixed.choices)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=5), st.integers(1, 5))
def test_any_sizes_get_advice(sizes, channels):
    advice = advise(np.array([(0, 0), *sizes]), channels)
    assert advice.pictures.count == len(sizes)
    for choice in advice.choices:
        assert choice.macs > 0
        assert 0 <= choice.padding < 1
        assert 0 <= choice.cut < 1
        assert choice.why
    json.dumps(advice.to_dict())


def test_nothing_usable():
    with pytest.raises(ValueError, match="no usable picture"):
        advise(of((0, 0)))
