"""Padding, partition, cyclic shift and mask: properties for any size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swinkit.model.windows import (
    MASKED,
    WindowGrid,
    counts_of,
    pad_to,
    shift_mask,
    shift_size,
    window_partition,
    window_reverse,
)

sides = st.integers(1, 23)
sizes = st.tuples(sides, sides)
windows = st.tuples(st.integers(1, 6), st.integers(1, 6))


def numbered(size) -> torch.Tensor:
    """A map (1, H, W, 1) whose tokens carry their own number, from 1."""
    return torch.arange(1, size[0] * size[1] + 1).view(1, *size, 1)


@given(sizes, windows)
def test_padding_is_zeros_at_the_bottom_and_right_and_no_more_than_needed(size, window):
    counts = counts_of(size, window)
    padded = pad_to(numbered(size), counts, window)
    assert torch.equal(padded[:, : size[0], : size[1]], numbered(size))
    assert padded.sum() == numbered(size).sum()
    for axis in (0, 1):
        assert padded.shape[1 + axis] % window[axis] == 0
        assert 0 <= padded.shape[1 + axis] - size[axis] < window[axis]


@given(sizes, windows)
def test_partition_is_row_major_and_reverse_undoes_it(counts, window):
    size = counts[0] * window[0], counts[1] * window[1]
    x = numbered(size)
    parts = window_partition(x, window, counts)
    assert torch.equal(window_reverse(parts, window, counts), x)
    row, column = counts[0] - 1, counts[1] // 2
    expected = x[0, row * window[0] :, column * window[1] : (column + 1) * window[1], 0]
    assert torch.equal(parts[0, row * counts[1] + column, :, 0].view(window), expected)


@given(sizes, windows, st.booleans(), st.booleans())
def test_join_undoes_split(size, window, shifted, always):
    x = numbered(size).float()
    grid = WindowGrid.regular(x, window)
    grid = grid.shifted(x, always) if shifted else grid
    assert torch.equal(grid.join(grid.split(x), size), x)


@given(sizes, windows)
def test_shift_is_half_a_window_and_dropped_where_one_window_covers(counts, window):
    assert shift_size(window, counts, always=True) == (window[0] // 2, window[1] // 2)
    shift = shift_size(window, counts, always=False)
    assert shift == tuple(0 if count == 1 else side // 2 for side, count in zip(window, counts, strict=True))


def nine_regions(size, window, shift) -> torch.Tensor:
    """The published construction: three slices per axis, nine numbers, cut into windows, differences masked."""
    image = torch.zeros(1, *size, 1)
    number = 0
    for rows in slices(window[0], shift[0]):
        for columns in slices(window[1], shift[1]):
            image[:, rows, columns] = number
            number += 1
    counts = size[0] // window[0], size[1] // window[1]
    parts = window_partition(image, window, counts)[0, :, :, 0]
    return ((parts[:, None, :] - parts[:, :, None]) != 0) * MASKED


def slices(window: int, shift: int):
    return (slice(0, -window), slice(-window, -shift), slice(-shift, None)) if shift else (slice(None),)


@given(sizes, windows, st.booleans())
def test_mask_equals_the_published_nine_regions(counts, window, always):
    size = counts[0] * window[0], counts[1] * window[1]
    shift = shift_size(window, counts, always)
    assert torch.equal(shift_mask(window, counts, shift, torch.zeros(())), nine_regions(size, window, shift))


@given(st.tuples(st.integers(1, 4), st.integers(1, 4)), windows)
def test_mask_separates_tokens_that_met_only_because_the_map_was_rolled(counts, window):
    size = counts[0] * window[0], counts[1] * window[1]
    x = numbered(size).float()
    grid = WindowGrid.regular(x, window).shifted(x, always=True)
    numbers = grid.split(x)[0, :, :, 0].long() - 1
    together = torch.ones_like(grid.mask, dtype=torch.bool)
    for place, side in ((numbers // size[1], window[0]), (numbers % size[1], window[1])):
        home = (place - side // 2).div(side, rounding_mode="floor")  # which shifted window the token is in, with no roll
        together &= home[:, :, None] == home[:, None, :]
    assert torch.equal(grid.mask == 0, together)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_mask_takes_the_dtype_of_its_map(dtype):
    x = torch.zeros(1, 8, 8, 2, dtype=dtype)
    assert WindowGrid.regular(x, (4, 4)).shifted(x, False).mask.dtype == dtype
