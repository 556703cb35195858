"""What people are shown of a picture."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from swinkit.data.rgb import as_rgb, data_uri, png_bytes, tiled


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (4, [0, 1, 2])])
def test_gray_is_repeated_and_of_more_channels_the_first_three_are_shown(channels, shown):
    picture = np.arange(channels, dtype=np.uint8).reshape(1, 1, channels)
    assert as_rgb(picture).tolist() == [[shown]]
    assert as_rgb(picture / np.float32(255)).tolist() == [[shown]]


def test_values_beyond_the_range_are_its_ends_and_none_is_black():
    assert as_rgb(np.array([[[-1.0, 2.0, np.nan]]])).tolist() == [[[0, 255, 0]]]


def test_tiles_stand_in_rows_on_white():
    tiles = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = tiled(tiles, across=2)
    assert sheet.shape == (2 + 6 + 2, 3 + 6 + 3, 3)
    assert [sheet[0, 0, 0], sheet[0, 9, 0], sheet[8, 0, 0]] == [10, 20, 30]
    assert all((white == 255).all() for white in (sheet[2:8], sheet[:, 3:9], sheet[8:, 9:]))
    assert tiled(tiles, across=8).shape == (2, 3 * 3 + 2 * 6, 3)


@pytest.mark.parametrize("optimize", [False, True])
def test_a_png_holds_the_pixels(optimize):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(Image.open(io.BytesIO(png_bytes(picture, optimize))), picture)


@pytest.mark.parametrize(("side", "kind"), [(64, "png"), (65, "jpeg")])
def test_only_a_tiny_picture_travels_without_loss(side, kind):
    head, data = data_uri(Image.new("L", (side, 8), 90), quality=82).split(",")
    assert head == f"data:image/{kind};base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (side, 8)
