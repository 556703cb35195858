"""Masks are what they claim, the loss is transformers', sparse is an ordinary Swin, and gradients reach only what they should."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit.config import Masking, SwinConfig
from swinkit.errors import UsageError
from swinkit.model.backbone import SwinBackbone, initialise
from swinkit.model.simmim import (
    COVERED,
    DROPPED,
    VISIBLE,
    SimMIM,
    cell_grid,
    compact,
    compacted,
    grow,
    kept_cells,
    normalised,
    random_mask,
    reconstruction_loss,
    uniform_mask,
)  # fmt: skip

from ..shaking import shake

SMALL = {"embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2), "window_size": 4, "patch_size": 2, "num_classes": 0}
sides = st.integers(1, 70)


def config(version=1, **fields):
    return SwinConfig.model_validate({**SMALL, "version": version, "image_size": 32, **fields})


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.01, 0.99), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_random_mask_covers_exactly_its_share(rows, columns, ratio, seed):
    chance = torch.rand(3, rows, columns, generator=torch.Generator().manual_seed(seed))
    mask = random_mask(chance, ratio)
    assert mask.dtype == torch.uint8
    assert ((mask == COVERED).sum(dim=(1, 2)) == math.ceil(ratio * rows * columns)).all()
    assert ((mask == COVERED) | (mask == VISIBLE)).all()


@given(st.integers(1, 6), st.integers(1, 6), st.floats(0, 0.99), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_uniform_mask_keeps_one_of_each_quad_and_covers_exactly_its_share_of_them(rows, columns, covered, seed):
    chance = torch.rand(3, 2 * rows, 2 * columns, generator=torch.Generator().manual_seed(seed))
    mask = uniform_mask(chance, covered)
    for row in range(0, 2 * rows, 2):
        for column in range(0, 2 * columns, 2):
            quad = mask[:, row : row + 2, column : column + 2]
            assert ((quad == DROPPED).sum(dim=(1, 2)) == 3).all()
    assert ((mask == COVERED).sum(dim=(1, 2)) == round(covered * rows * columns)).all()


def test_no_cell_behind_the_edge_is_kept_and_those_before_it_equally_often():
    chance = torch.rand(20_000, 4, 6, generator=torch.Generator().manual_seed(0))
    mask = uniform_mask(chance, 0.25, (3, 5))
    assert (mask[:, 3] == DROPPED).all()
    assert (mask[:, :, 5] == DROPPED).all()
    chosen = torch.tensor([1 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 2]) * torch.tensor([1, 1, 2])[:, None]  # one of four, two or one
    assert ((mask[:, :3, :5] != DROPPED).float().mean(dim=0) - chosen).abs().max() < 0.02
    covered = round(0.25 * 6) / 6
    assert ((mask[:, :3, :5] == COVERED).float().mean(dim=0) - covered * chosen).abs().max() < 0.02


def test_every_cell_is_hidden_equally_often():
    chance = torch.rand(20_000, 4, 4, generator=torch.Generator().manual_seed(0))
    assert ((random_mask(chance, 0.5) == COVERED).float().mean(dim=0) - 0.5).abs().max() < 0.02
    uniform = uniform_mask(chance, 0.25)
    assert ((uniform == DROPPED).float().mean(dim=0) - 0.75).abs().max() < 0.02
    assert ((uniform == COVERED).float().mean(dim=0) - 0.0625).abs().max() < 0.01


@given(sides, sides, st.sampled_from([1, 2, 4, 8]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_cells_cover_every_pixel(height, width, cell, sparse):
    rows, columns = cell_grid((height, width), Masking(cell=cell, sparse=sparse))
    assert rows * cell >= height
    assert columns * cell >= width
    assert grow(torch.zeros(1, rows, columns), cell, (height, width)).shape == (1, height, width)
    assert not (sparse and (rows % 2 or columns % 2))


@given(sides, sides, st.sampled_from([2, 4]), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_a_compacted_picture_holds_the_kept_cells_where_they_belong(height, width, cell, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, height, width, generator=generator)
    rows, columns = cell_grid((height, width), Masking(cell=cell, sparse=True))
    mask = uniform_mask(torch.rand(2, rows, columns, generator=generator), 0.25)
    kept, _ = kept_cells(mask)
    small = compact(images, kept, cell)
    padded = F.pad(images, (0, columns * cell - width, 0, rows * cell - height))
    for number in range(2):
        for row in range(rows // 2):
            for column in range(columns // 2):
                place = int(kept[number, row, column])
                top, left = 2 * row + place // 2, 2 * column + place % 2
                assert mask[number, top, left] != DROPPED
                wanted = padded[number, :, top * cell : (top + 1) * cell, left * cell : (left + 1) * cell]
                found = small[number, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
                assert torch.equal(found, wanted)


@given(st.integers(1, 33), st.integers(1, 33), st.sampled_from([2, 4]), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_the_sparse_decoder_paints_each_2x2_by_the_place_of_its_kept_cell(height, width, cell, seed):
    masking = Masking(cell=cell, sparse=True)
    decoder = shake(SimMIM(config(image_size=(height, width)), masking), seed).reconstruction
    rows, columns = cell_grid((height, width), masking)
    mask = uniform_mask(torch.rand(1, rows, columns, generator=torch.Generator().manual_seed(seed)), 0.25)
    factor = 4 // cell
    x = torch.randn(1, -(-rows // 2 // factor), -(-columns // 2 // factor), 16, generator=torch.Generator().manual_seed(seed))
    painted = decoder(x, mask)
    assert painted.shape == (1, 3, rows * cell, columns * cell)
    for row, column in (mask[0] != DROPPED).nonzero().tolist():
        token = decoder.places(x[0, row // 2 // factor, column // 2 // factor]).view(4, -1, factor, factor)
        seen = token[row % 2 * 2 + column % 2, :, row // 2 % factor, column // 2 % factor]
        top, left = row // 2 * 2 * cell, column // 2 * 2 * cell
        found = painted[0, :, top : top + 2 * cell, left : left + 2 * cell]
        assert torch.allclose(found, decoder.pixels(seen).view(3, 2 * cell, 2 * cell), atol=1e-4)


@pytest.mark.parametrize("version", [1, 2])
def test_sparse_is_an_unmodified_swin_on_the_compacted_picture(version):
    masking = Masking(cell=2, sparse=True, covered=0.0)
    network = shake(SimMIM(config(version), masking)).eval()
    ordinary = SwinBackbone(compacted(config(version), masking)).eval()
    ordinary.load_state_dict(network.backbone.state_dict())
    images = torch.rand(2, 3, 32, 32)
    mask = uniform_mask(torch.rand(2, 16, 16), 0.0)
    expected = network.norm(ordinary.features(compact(images, kept_cells(mask)[0], 2))[-1].permute(0, 2, 3, 1))
    assert torch.equal(network.encode(images, mask), expected)
    assert ordinary.config.image_size == (16, 16)


@pytest.mark.parametrize("version", [1, 2])
def test_sparse_sees_nothing_of_what_is_dropped_or_covered(version):
    masking = Masking(cell=2, sparse=True)
    network = shake(SimMIM(config(version), masking)).eval()
    mask = uniform_mask(torch.rand(1, 16, 16), 0.25)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    network(images, mask).square().sum().backward()
    reached = images.grad.abs().sum(dim=1) > 0
    assert torch.equal(reached, grow(mask, 2, (32, 32)) == VISIBLE)


@pytest.mark.parametrize("version", [1, 2])
def test_the_gradient_reaches_only_what_it_should(version):
    """Visible pixels on the way in, hidden ones on the way out, and every parameter, the mask token among them."""
    masking = Masking(cell=8)
    network = shake(SimMIM(config(version), masking))
    mask = random_mask(torch.rand(2, 4, 4), 0.5)
    hidden = grow(mask, 8, (32, 32)) == COVERED
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    painted = network(images, mask)
    painted.retain_grad()
    reconstruction_loss(images.detach(), painted, mask, masking).backward()
    assert torch.equal((images.grad.abs().sum(dim=1) > 0), ~hidden)
    assert torch.equal((painted.grad.abs().sum(dim=1) > 0), hidden)
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("masking", [Masking(cell=8), Masking(cell=2, sparse=True), Masking(cell=4, ratio=0.3)], ids=str)
@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 3), (20, 44, 4), (33, 7, 1)])
def test_any_size_and_channels_are_painted(masking, height, width, channels):
    network = SimMIM(config(image_size=(height, width), in_channels=channels), masking).eval()
    rows, columns = cell_grid((height, width), masking)
    chance = torch.rand(2, rows, columns)
    mask = uniform_mask(chance, 0.25) if masking.sparse else random_mask(chance, masking.ratio)
    images = torch.rand(2, channels, height, width)
    assert network(images, mask).shape == images.shape
    assert network.pooled(images).shape == (2, 16)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 5, 47]), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_normalised_targets_are_local_statistics(height, width, side, seed):
    images = torch.rand(1, 2, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found, reach = normalised(images, side), side // 2
    for row in range(height):
        for column in range(width):
            near = images[0, 1, max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            variance = near.var() if near.numel() > 1 else torch.zeros(())
            wanted = (images[0, 1, row, column] - near.mean()) / (variance + 1e-6).sqrt()
            assert float(found[0, 1, row, column]) == pytest.approx(float(wanted), abs=1e-9)


@pytest.mark.parametrize(
    ("masking", "said"),
    [(Masking(cell=3), "no multiple of the patch"), (Masking(cell=8, sparse=True), "its cells are one of 2, 4")],
)
def test_cells_that_do_not_fit_are_refused(masking, said):
    with pytest.raises(UsageError, match=said):
        SimMIM(config(), masking)


def test_the_learned_position_of_a_covered_token_stays():
    network = shake(SimMIM(config(ape=True), Masking(cell=8)))
    mask = torch.ones(1, 4, 4, dtype=torch.uint8)
    tokens = network.cover(network.backbone.embed(torch.rand(1, 3, 32, 32)), mask)
    expected = network.reconstruction.mask_token[None] + network.backbone.patch_embed.position
    assert torch.allclose(tokens, expected)


@pytest.mark.parametrize("width", [42, 100])
def test_a_sparse_decoder_has_a_width_for_any_encoder(width):
    """One that its tokens' sines and cosines and its heads divide."""
    masking = Masking(cell=16, sparse=True)
    wide = config(embed_dim=width, depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 2), image_size=64)
    mask = uniform_mask(torch.rand(2, 4, 4), 0.25)
    assert SimMIM(wide, masking)(torch.rand(2, 3, 64, 64), mask).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("masking", [Masking(cell=8), Masking(cell=4, sparse=True)], ids=["faithful", "sparse"])
def test_built_on_the_meta_device_and_filled(masking):
    with torch.device("meta"):
        network = SimMIM(config(), masking)
    network = network.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    network.apply(initialise)
    assert all(parameter.isfinite().all() for parameter in network.parameters())
