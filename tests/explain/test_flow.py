"""Rollout, receptive field and the bias atlas, each against something that was not written with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from swinkit.errors import UsageError
from swinkit.explain.atlas import atlas
from swinkit.explain.attention import attention_of
from swinkit.explain.field import field_side, receptive_field
from swinkit.explain.rollout import rollout, unmerged
from swinkit.explain.seeing import row_entropy
from swinkit.model.windows import WindowGrid
from swinkit.weights.resize import fit, moved
from tests.explain.models import VERSIONS, small


def pictures(*size: int) -> torch.Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def kept_by_hand(model: nn.Module, images: torch.Tensor) -> dict[tuple[int, int], torch.Tensor]:
    """(stage, block) -> how much of each token the residual kept, (H, W), by running the blocks' layers one after another."""
    x, answer = model.backbone.embed(images), {}
    for number, stage in enumerate(model.backbone.stages):
        x = stage.merge(x)
        regular = WindowGrid.regular(x, stage.window)
        for index, block in enumerate(stage.blocks):
            grid = regular.shifted(x, False) if index % 2 else regular
            v1 = model.config.version == 1
            branch = block.attention(block.norm1(x), grid) if v1 else block.norm1(block.attention(x, grid))
            stream, added = (part[0].std(-1, correction=0) for part in (x, branch))
            answer[number, index] = stream / (stream + added)
            x = block(x, grid)
    return answer


@pytest.mark.parametrize("version", VERSIONS)
def test_rollout_is_the_product_of_whole_attention_matrices(version: int) -> None:
    """Dense matrices over all tokens, row by row from the stitched attention, multiplied as in the paper."""
    model, images = small(version, image_size=28), pictures(28, 28)
    kept = kept_by_hand(model, images)
    share = torch.full((49,), 1 / 49)
    for stage, size in ((1, (7, 7)), (0, (14, 14))):
        for block in (1, 0):
            shown = attention_of(model, images, stage, block)
            tokens = [shown.of_token(r, c)[0].mean(0).flatten() for r in range(size[0]) for c in range(size[1])]
            stays = kept[stage, block].flatten()[:, None]
            share = share @ (stays * torch.eye(len(tokens)) + (1 - stays) * torch.stack(tokens))
        if stage:
            share = share.view(7, 7).repeat_interleave(2, 0).repeat_interleave(2, 1).flatten() / 4
    found = rollout(model, images)[0]
    assert found.shape == (28, 28)
    centres = torch.nn.functional.avg_pool2d(found[None, None], 2)[0, 0]
    expected = (share / share.sum()).view(14, 14)
    inner = (slice(1, -1), slice(1, -1))
    smooth = torch.nn.functional.interpolate(expected[None, None], (28, 28), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(found[inner], smooth[inner], rtol=1e-4, atol=1e-7)
    assert float(centres.sum()) == pytest.approx(1, abs=0.05)


SIZES = st.tuples(st.integers(1, 15), st.integers(1, 15))


@given(size=SIZES)
def test_what_is_unmerged_is_shared_by_the_tokens_that_exist(size: tuple[int, int]) -> None:
    merged = torch.rand(2, -(-size[0] // 2), -(-size[1] // 2), generator=torch.Generator().manual_seed(0))
    found = unmerged(merged, size)
    assert found.shape == (2, *size)
    torch.testing.assert_close(found.sum((1, 2)), merged.sum((1, 2)))


@given(size=SIZES, place=st.data())
def test_one_merged_token_goes_back_alike_to_the_tokens_it_came_from(size: tuple[int, int], place) -> None:
    height, width = (-(-side // 2) for side in size)
    row, column = place.draw(st.tuples(st.integers(0, height - 1), st.integers(0, width - 1)), label="token")
    merged = torch.zeros(1, height, width)
    merged[0, row, column] = 1
    found = unmerged(merged, size)[0]
    own = found[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
    assert torch.equal(own, torch.full_like(own, 1 / own.numel()))
    assert float(found.sum()) == float(own.sum()) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_rollout_starts_where_it_is_told(version: int) -> None:
    model, images = small(version), pictures(56, 56)
    start = torch.zeros(1, 14, 14)
    start[0, 0, 0] = 1
    found = rollout(model, images, start)[0]
    assert float(found[44:, 44:].sum()) < 1e-6 < float(found[:14, :14].sum())


@pytest.mark.parametrize("version", VERSIONS)
def test_the_field_is_what_pixels_really_move(version: int) -> None:
    """Outside it nothing can be changed that the token notices; inside it something can."""
    model, images = small(version).double(), pictures(56, 56).double()
    energy = receptive_field(model, images, 0, (9, 9))[0]
    assert float(energy.sum()) == pytest.approx(1)

    def token(x: torch.Tensor) -> torch.Tensor:
        return model.features(x)[0][0, :, 9, 9]

    outside, inside = images.clone(), images.clone()
    outside[0, :, energy == 0] += 1
    inside[0, :, energy > energy.max() / 2] += 1
    with torch.no_grad():
        torch.testing.assert_close(token(outside), token(images), rtol=0, atol=1e-9)
        assert not torch.allclose(token(inside), token(images), atol=1e-3)
    assert 0.1 < float((energy == 0).double().mean()) < 0.95


def test_the_field_side_of_a_square() -> None:
    energy = torch.zeros(1, 64, 64)
    energy[0, 20:31, 10:21] = 1 / 121
    assert float(field_side(energy, 0.999)) == pytest.approx(11, abs=1e-3)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_atlas_holds_the_bias_of_every_pair(version: int) -> None:
    model = small(version)
    found = atlas(model)
    assert [(block.stage, block.block) for block in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    bias = model.backbone.stages[1].blocks[1].attention.bias().detach()
    surface = found[3].surface
    for query, key in np.ndindex(49, 49):
        (qy, qx), (ky, kx) = divmod(query, 7), divmod(key, 7)
        assert torch.equal(surface[:, qy - ky + 6, qx - kx + 6], bias[:, query, key].float())


@pytest.mark.parametrize("method", ["bicubic", "geometric"])
@pytest.mark.parametrize("version", VERSIONS)
def test_after_resizing_it_is_the_bias_of_the_resized_model(version: int, method: str) -> None:
    model = small(version)
    target = moved(model.config, (88, 88), (11, 11))
    resized = type(model)(target)
    resized.load_state_dict(fit(model.state_dict(), model.config, target, method))
    for ours, theirs in zip(atlas(model, 11, method), atlas(resized), strict=True):
        assert ours.window == theirs.window == (11, 11)
        torch.testing.assert_close(ours.surface, theirs.surface, rtol=1e-5, atol=1e-6)


def test_even_bias_has_full_entropy() -> None:
    model = small(1)
    for block in (block for stage in model.backbone.stages for block in stage.blocks):
        nn.init.constant_(block.attention.bias.table, 3.0)
    assert atlas(model)[0].entropy.tolist() == pytest.approx([np.log2(49)] * 2, abs=1e-4)


def test_an_unknown_resizing() -> None:
    with pytest.raises(UsageError, match="no resizing 'linear'"):
        atlas(small(1), 9, "linear")


def test_a_window_whose_pairs_do_not_fit_is_refused_before_they_are_made() -> None:
    with pytest.raises(UsageError, match="Windows of 2000 x 2000 patches"):
        atlas(small(1), 2000)


def test_a_large_window_takes_memory_for_one_head_at_a_time(monkeypatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr("swinkit.explain.atlas.row_entropy", lambda rows: seen.append(rows.ndim) or row_entropy(rows))
    atlas(small(2), 9)
    assert set(seen) == {2}
