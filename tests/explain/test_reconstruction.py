"""Reconstructions and their sheet: what stands where, by colours that say so, and by a real picture under the bundled network."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from swinkit.data.bundled import open_bundled
from swinkit.explain.reconstruction import load_painter, reconstructions
from swinkit.explain.tour.painting import BUNDLED_PAINTER
from swinkit.model.simmim import COVERED, VISIBLE
from swinkit.preprocessing import Preprocessing
from swinkit.tasks.pretraining import Reconstruction, reconstruct, sheet

GAP = 6
RED, GREEN, BLUE, CYAN, PURPLE, YELLOW = (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)


def tiles(drawn: np.ndarray, rows: int) -> np.ndarray:
    """The sheet ``drawn`` of square pictures as (rows, 4, side, side, 3), its gaps left out."""
    side = (drawn.shape[1] - 3 * GAP) // 4
    starts = [[number * (side + GAP) for number in range(count)] for count in (rows, 4)]
    return np.stack([[drawn[top : top + side, left : left + side] for left in starts[1]] for top in starts[0]])


def plain(colour: tuple[float, ...], corner: tuple[float, ...] | None = None) -> np.ndarray:
    """A picture (2, 2, C) of one ``colour`` but for its upper right ``corner``."""
    picture = np.full((2, 2, len(colour)), colour, float)
    picture[0, 1] = colour if corner is None else corner
    return picture


def test_every_part_of_a_sheet_stands_at_its_place() -> None:
    hidden = np.ones((2, 2), bool)
    rows = [
        Reconstruction(plain(RED, BLUE), plain(GREEN), plain(BLUE), plain((0.2,)), hidden),
        Reconstruction(plain(CYAN), plain(PURPLE), plain(YELLOW), plain((0.8,), (1.0,)), hidden),
    ]
    drawn = sheet(rows)
    found = tiles(drawn, 2)
    corner, rest = found[:, :, 0, -1], found[:, :, -1, 0]
    expected = np.array([[RED, GREEN, BLUE, (0.2,) * 3], [CYAN, PURPLE, YELLOW, (0.8,) * 3]]) * 255
    assert_array_equal(rest, expected)
    expected[0, 0], expected[1, 3] = np.array(BLUE) * 255, 255
    assert_array_equal(corner, expected)
    first = found[0, 0]
    assert_array_equal(np.unique(first[:48, 48:].reshape(-1, 3), axis=0), [[0, 0, 255]])  # the upper right quarter and no more
    assert (first == [0, 0, 255]).all(axis=2).sum() == 48 * 48
    assert (drawn[96 : 96 + GAP] == 255).all()


def test_of_many_channels_the_first_three_are_shown_in_their_order() -> None:
    part = plain((1.0, 0.6, 0.2, 0.9))
    drawn = sheet([Reconstruction(part, part, part, part[..., :1], part[..., 0] > 0)])
    assert drawn[0, 0].tolist() == [255, 153, 51]


def test_what_was_visible_stays_and_what_was_hidden_is_painted() -> None:
    """The painter answers 0.9, 0.5, 0.3 everywhere; the picture is 0.7, 0.6, 0.1, normalised channel by channel."""
    look = Preprocessing(size=(2, 4), mean=(0.5, 0.4, 0.3), std=(0.2, 0.5, 0.4), channels=3)
    mean, std = (torch.tensor(values)[:, None, None] for values in (look.mean, look.std))
    picture, answer = (
        ((torch.tensor(values)[:, None, None] - mean) / std).expand(1, 3, 2, 4) for values in ((0.7, 0.6, 0.1), (0.9, 0.5, 0.3))
    )

    def painter(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return answer

    painter.masking = SimpleNamespace(cell=2, normalise=0)  # type: ignore[attr-defined]
    found = reconstruct(painter, picture, torch.tensor([[[VISIBLE, COVERED]]], dtype=torch.uint8), look, ["it"])[0]
    assert found.hidden.tolist() == [[False, False, True, True]] * 2
    shown = {"original": ((0.7, 0.6, 0.1), (0.7, 0.6, 0.1)), "masked": ((0.7, 0.6, 0.1), (0.5,) * 3),
             "painted": ((0.7, 0.6, 0.1), (0.9, 0.5, 0.3)), "error": ((0.0,), (0.5 / 3,))}  # fmt: skip
    for name, (left, right) in shown.items():
        part = getattr(found, name)
        assert part[:, :2] == pytest.approx(np.broadcast_to(left, (2, 2, len(left))), abs=1e-6), name
        assert part[:, 2:] == pytest.approx(np.broadcast_to(right, (2, 2, len(right))), abs=1e-6), name
    assert (found.source, found.loss) == ("it", pytest.approx(0.5 / 3))


def test_a_real_picture_stands_on_its_sheet_as_it_is_masked_painted_and_wrong() -> None:
    painter = load_painter(BUNDLED_PAINTER)
    picture = open_bundled("fashion-mini").read(9)
    rows = reconstructions(painter, picture)
    small = tiles(sheet(rows), len(rows))[:, :, ::4, ::4, 0].astype(int)  # 28 pixels are shown four times as wide
    hidden = np.stack([row.hidden for row in rows])
    original, masked, painted, error = small.transpose(1, 0, 2, 3)
    assert np.abs(original - picture[None, ..., 0]).max() <= 1
    assert_array_equal(masked, np.where(hidden, 128, original))
    assert_array_equal(painted[~hidden], original[~hidden])
    assert_array_equal(error[~hidden], 0)
    assert np.abs(error - np.abs(painted - original))[hidden].max() <= 1
    assert error[hidden].mean() / 255 == pytest.approx(np.mean([row.loss for row in rows]), abs=2 / 255)
    assert len({one.tobytes() for one in hidden}) == len(rows)
