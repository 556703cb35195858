"""The padded way of shifting windows is the cyclic way: same numbers, more windows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit import create_model
from swinkit.config import SwinConfig
from swinkit.explain.tour.padded import PaddedGrid
from swinkit.model.block import Block
from swinkit.model.windows import WindowGrid

SIDE = st.integers(1, 17)
WINDOW = st.integers(2, 5)


def block(version: int, window: tuple[int, int], always: bool) -> Block:
    torch.manual_seed(0)
    geometry = "dense" if always else "classification"
    config = SwinConfig(
        version=version, window_size=window, image_size=(128, 128), embed_dim=8, depths=(2,), num_heads=(2,), geometry=geometry
    )
    made = Block(config, 0, 1).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


@settings(max_examples=40, deadline=None)
@given(SIDE, SIDE, WINDOW, WINDOW, st.sampled_from((1, 2)), st.booleans())
def test_padded_and_cyclic_agree(height: int, width: int, rows: int, columns: int, version: int, always: bool) -> None:
    made = block(version, (rows, columns), always)
    x = torch.randn(2, height, width, 8)
    cyclic = WindowGrid.regular(x, (rows, columns)).shifted(x, always)
    with torch.no_grad():
        difference = (made.attention(x, cyclic) - made.attention(x, PaddedGrid.of(cyclic, x))).abs().max()
    assert difference <= 1e-6 * max(1.0, float(made.attention(x, cyclic).detach().abs().max()))


def test_swin_t_computes_81_windows_instead_of_64() -> None:
    x = torch.randn(1, 56, 56, 96)
    cyclic = WindowGrid.regular(x, (7, 7)).shifted(x, False)
    padded = PaddedGrid.of(cyclic, x)
    assert (cyclic.counts, padded.counts) == ((8, 8), (9, 9))
    attention = create_model("swin_t").eval().backbone.stages[0].blocks[1].attention
    with torch.no_grad():
        assert (attention(x, cyclic) - attention(x, padded)).abs().max() < 1e-6


def test_the_comparison_sees_a_wrong_shift() -> None:
    made = block(1, (4, 4), False)
    x = torch.randn(1, 8, 8, 8)
    cyclic = WindowGrid.regular(x, (4, 4)).shifted(x, False)
    wrong = PaddedGrid.of(cyclic._replace(shift=(1, 2)), x)
    with torch.no_grad():
        assert (made.attention(x, cyclic) - made.attention(x, wrong)).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_split_and_join_are_inverse(size: tuple[int, int]) -> None:
    x = torch.randn(1, *size, 3)
    padded = PaddedGrid.of(WindowGrid.regular(x, (4, 4)).shifted(x, True), x)
    assert torch.equal(padded.join(padded.split(x), size), x)
