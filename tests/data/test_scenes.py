"""Scenes: the same ones whoever asks, objects inside, apart, where their boxes and masks say; photographs as licensed."""

from __future__ import annotations

import numpy as np
import pytest

from swinkit.data.bundled import ASSETS, open_bundled
from swinkit.data.scenes import PHOTOGRAPHS, Scenes, SceneSettings, open_photographs, silhouette
from swinkit.errors import DataError, UsageError


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes(open_bundled("fashion-mini"), open_photographs("train"), SceneSettings(objects=(1, 3)), seed=4)


def test_a_scene_is_a_function_of_its_number(scenes: Scenes) -> None:
    again = Scenes(open_bundled("fashion-mini"), open_photographs("train"), SceneSettings(objects=(1, 3)), seed=4)
    other = Scenes(open_bundled("fashion-mini"), open_photographs("train"), SceneSettings(objects=(1, 3)), seed=5)
    for index in (7, 3, 7):
        assert np.array_equal(scenes[index].picture, again[index].picture)
        assert not np.array_equal(scenes[index].picture, other[index].picture)


def test_objects_are_where_their_boxes_and_masks_say(scenes: Scenes) -> None:
    for index in range(40):
        scene = scenes[index]
        assert scene.picture.shape == (64, 64, 3)
        assert len(scene.labels) == len(scene.boxes) == len(scene.masks) >= 1
        assert len(set(scene.labels.tolist())) == len(scene.labels)
        assert scene.masks.sum(0).max() <= 1  # apart
        for (left, top, right, bottom), mask in zip(scene.boxes, scene.masks, strict=True):
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (left, top, right, bottom)
            assert 0 <= left < right <= 64
            assert 0 <= top < bottom <= 64


def test_the_ground_shows_where_no_object_is(scenes: Scenes) -> None:
    """Another object on the same ground would leave it as it is: the generator draws the ground first."""
    none = Scenes(open_bundled("fashion-mini"), open_photographs("train"), SceneSettings(objects=(0, 0)), seed=4)
    with_one = Scenes(open_bundled("fashion-mini"), open_photographs("train"), SceneSettings(objects=(1, 1)), seed=4)
    empty, scene = none[2], with_one[2]
    assert len(empty.labels) == 0
    assert empty.masks.shape == (0, 64, 64)
    assert np.array_equal(empty.picture[~scene.masks[0]], scene.picture[~scene.masks[0]])


def test_a_silhouette_has_no_holes() -> None:
    ring = np.zeros((9, 9), np.uint8)
    ring[2:7, 2:7] = 200
    ring[4, 4] = 0
    assert silhouette(ring)[2:7, 2:7].all()
    assert silhouette(ring).sum() == 25


def test_every_photograph_is_named_with_its_licence() -> None:
    told = (ASSETS / "photographs" / "LICENSE").read_text("utf-8")
    named = [name for part in PHOTOGRAPHS.values() for name in part]
    files = {path.stem for path in (ASSETS / "photographs").glob("*.jpg")}
    assert files == set(named)
    assert len(set(named)) == len(named)  # no ground is in both parts
    for name in named:
        (line,) = [line for line in told.splitlines() if line.startswith(f"  {name} ")]
        assert "CC0" in line or "public domain" in line


def test_what_cannot_be_meant() -> None:
    with pytest.raises(DataError, match="there are train, test"):
        open_photographs("all")
    with pytest.raises(UsageError, match="distinct classes"):
        Scenes(open_bundled("digits"), open_photographs("test"), SceneSettings(objects=(1, 11)))
