"""Relative positions: the index, log-spaced coordinates, both biases."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.model.position_bias import MlpBias, TableBias, log_spaced_coordinates, relative_position_index
from swinkit.weights.verify import ShapesOnly

windows = st.tuples(st.integers(1, 6), st.integers(1, 6))


def places(window):
    return [(row, column) for row in range(window[0]) for column in range(window[1])]


@given(windows)
def test_index_is_the_row_of_the_offset_from_key_to_query(window):
    index = relative_position_index(window)
    offsets = [(dy, dx) for dy in range(1 - window[0], window[0]) for dx in range(1 - window[1], window[1])]
    for i, query in enumerate(places(window)):
        for j, key in enumerate(places(window)):
            assert offsets[index[i, j]] == (query[0] - key[0], query[1] - key[1])


@given(windows, windows)
def test_coordinates_follow_equation_4(window, pretrained):
    rows = []
    for dy in range(1 - window[0], window[0]):
        for dx in range(1 - window[1], window[1]):
            scaled = [8 * d / (reach - 1) if reach > 1 else 8 * d for d, reach in zip((dy, dx), pretrained, strict=True)]
            rows.append([math.copysign(math.log2(1 + abs(x)), x) / math.log2(8) for x in scaled])
    torch.testing.assert_close(log_spaced_coordinates(window, pretrained), torch.tensor(rows), rtol=0, atol=1e-6)


def test_a_larger_window_extrapolates_beyond_the_pretrained_one():
    assert log_spaced_coordinates((8, 8), (8, 8)).abs().max() == math.log2(9) / 3
    assert log_spaced_coordinates((24, 24), (12, 12)).abs().max() > math.log2(9) / 3


def test_table_bias_looks_up_its_table():
    bias = TableBias((2, 3), heads=2)
    values = bias()
    assert values.shape == (2, 6, 6)
    assert torch.equal(values[1, 0, 5], bias.table[0, 1])  # query at the top left, key at the bottom right: (-1, -2)
    assert torch.equal(values[0, 5, 0], bias.table[-1, 0])


def test_mlp_bias_is_bounded_and_depends_on_the_offset_alone():
    bias = MlpBias((3, 3), heads=2)
    torch.nn.init.normal_(bias.mlp[2].weight, std=0.05)
    values = bias()
    assert values.shape == (2, 9, 9)
    assert values.min() > 0
    assert values.max() < 16
    assert torch.equal(values[:, 0, 1], values[:, 4, 5])
    assert not torch.equal(values[:, 0, 1], values[:, 1, 0])


def test_what_follows_from_the_window_is_not_saved():
    assert set(TableBias((2, 2), 1).state_dict()) == {"table"}
    assert not any("index" in name or "coordinates" in name for name in MlpBias((2, 2), 1).state_dict())


def test_shapes_alone_take_no_memory():
    """A window of 400,000 tokens, whose index would fill a terabyte."""
    with ShapesOnly():
        config = SwinConfig(image_size=10_000, window_size=632, depths=(1,), num_heads=(3,))
        names = [SwinClassifier(config.model_copy(update={"version": version})).state_dict() for version in (1, 2)]
    assert names[0]["backbone.stages.0.blocks.0.attention.bias.table"].shape == (1263**2, 3)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("assign", [False, True])
def test_what_follows_from_the_window_is_there_after_weights_come_to_the_meta_device(version, assign):
    config = SwinConfig(
        version=version, image_size=28, embed_dim=8, depths=(1, 1), num_heads=(1, 2), window_size=7, patch_size=2
    )
    made, images = SwinClassifier(config).eval(), torch.randn(1, 3, 28, 28)
    with torch.device("meta"):
        empty = SwinClassifier(config).eval()
    empty = empty if assign else empty.to_empty(device="cpu")
    empty.load_state_dict(made.state_dict(), assign=assign)
    assert torch.equal(empty(images), made(images))


def test_another_default_type_is_the_type_of_everything():
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert MlpBias((3, 3), heads=2)().dtype == torch.float64
    finally:
        torch.set_default_dtype(before)
