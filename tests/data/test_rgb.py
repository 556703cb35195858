"""What people are shown of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from swinkit.data.rgb import as_rgb


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (4, [0, 1, 2])])
def test_gray_is_repeated_and_of_more_channels_the_first_three_are_shown(channels, shown):
    picture = np.arange(channels, dtype=np.uint8).reshape(1, 1, channels)
    assert as_rgb(picture).tolist() == [[shown]]
    assert as_rgb(picture / np.float32(255)).tolist() == [[shown]]


def test_values_beyond_the_range_are_its_ends_and_none_is_black():
    assert as_rgb(np.array([[[-1.0, 2.0, np.nan]]])).tolist() == [[[0, 255, 0]]]
