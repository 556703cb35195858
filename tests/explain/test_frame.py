"""From picture to input and back: judged by what preprocessing does to a picture whose pixels tell their place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit.data.transforms import evaluation
from swinkit.explain.frame import Frame
from swinkit.explain.paint import diverging, heat, outlined, paint_over, stamped
from swinkit.preprocessing import Preprocessing

SIDES = st.integers(5, 60)


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(["shortest", "squash", "none"]), st.sampled_from([0.7, 0.875, 1.0]))
@settings(max_examples=60)
def test_a_map_comes_back_to_where_its_pixels_came_from(
    height: int, width: int, rows: int, columns: int, resize: str, crop: float
) -> None:
    """A picture whose value is its row (or column) goes through preprocessing and comes back as the same number."""
    preprocessing = Preprocessing(
        size=(rows, columns), resize=resize, crop_ratio=crop, interpolation="bilinear", channels=1, mean=(0.0,), std=(1.0,)
    )  # type: ignore[arg-type]
    frame = Frame.of(preprocessing, height, width)
    for axis in (0, 1):
        picture = (np.indices((height, width))[axis] / 100).astype(np.float32)[..., None]
        image = evaluation(preprocessing)(picture)
        assert image.shape[1:] == frame.size
        found = frame.to_picture(image)[0].numpy()
        seen = ~np.isnan(found)
        reach = 1.5 * max(1, 1 / frame.scale[axis]) + 0.5  # pixels that resizing averages, and edges that it repeats
        assert np.abs(found - picture[..., 0])[seen].max(initial=0) * 100 <= reach
        for y, x in ((0, 0), (height // 2, width // 2), (height - 1, width - 1)):
            assert (frame.input_of(x, y) is not None) == bool(seen[y, x])


def test_the_seen_part_of_a_wide_picture() -> None:
    frame = Frame.of(Preprocessing(size=(224, 224)), 480, 640)
    left, top, right, bottom = frame.seen
    assert (right - left, bottom - top) == pytest.approx((420, 420), abs=1)
    assert left + right == pytest.approx(640, abs=2)
    assert frame.input_of(320, 240) in [(r, c) for r in (111, 112, 113) for c in (111, 112, 113)]
    assert frame.input_of(5, 240) is None


@pytest.mark.parametrize("place", [(-1, 50), (50, -1), (100, 50), (50, 100)])
def test_a_place_beside_the_picture_is_not_seen(place: tuple[int, int]) -> None:
    frame = Frame.of(Preprocessing(size=(28, 28), resize="squash"), 100, 100)
    assert frame.input_of(*place) is None


def test_what_the_model_never_sees_is_not_a_number() -> None:
    frame = Frame.of(Preprocessing(size=(224, 224)), 100, 200)
    found = frame.to_picture(torch.ones(1, 224, 224), (50, 100))[0]
    assert found.shape == (50, 100)
    assert torch.isnan(found[:, :20]).all()
    assert not torch.isnan(found[20:30, 45:55]).any()


def test_painting() -> None:
    picture = np.full((40, 60, 3), 120, np.uint8)
    values = np.zeros((40, 60))
    values[10:20, 10:20] = 2.0
    values[:, 50:] = np.nan
    painted = paint_over(picture, values)
    assert painted.shape == picture.shape
    assert painted.dtype == np.uint8
    assert np.ptp(painted[30, 30]) == 0  # grey where nothing is marked
    assert np.ptp(painted[15, 15].astype(int)) > 50  # coloured where it is
    assert len(np.unique(painted[:, 50:].reshape(-1, 3), axis=0)) > 1  # hatched where the model saw nothing
    assert not np.array_equal(outlined(picture, [(5, 5, 20, 20)]), picture)


def test_a_failed_map_says_so_on_its_face() -> None:
    picture = np.full((40, 60, 3), 120, np.uint8)
    shown = stamped(picture, "NOT TO BE TRUSTED: fails noise")
    assert shown.shape[0] > 40
    assert shown.shape[1] == 60
    red = (shown[..., 0] > 150) & (shown[..., 1] < 60)
    assert red[40:].mean() > 0.5
    assert red[0].all()


def test_maps_of_nothing_are_drawn() -> None:
    for values in (np.zeros((4, 4)), np.full((4, 4), np.nan), -np.ones((4, 4))):
        assert heat(values).shape == diverging(values).shape == (4, 4, 3)
        assert paint_over(np.zeros((4, 4, 3), np.uint8), values).shape == (4, 4, 3)
