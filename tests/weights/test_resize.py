"""Resizing of position information: against SciPy, against timm, and by what must stay."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit.config import SwinConfig
from swinkit.errors import UsageError
from swinkit.model.classifier import SwinClassifier
from swinkit.model.position_bias import log_spaced_coordinates
from swinkit.model.windows import Size
from swinkit.variants import configure
from swinkit.weights.resize import bicubic, fit, from_compacted, geometric, moved, on_whole_pictures, spline_weights

from ..shaking import shake

WINDOWS = st.tuples(st.integers(1, 8), st.integers(1, 8))


def some_table(window: Size, heads: int = 2) -> torch.Tensor:
    """A table without any order, in which no value stands for another."""
    return torch.randn(math.prod(offsets(window)), heads, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def offsets(window: Size) -> Size:
    return 2 * window[0] - 1, 2 * window[1] - 1


def turned(table: torch.Tensor, window: Size) -> torch.Tensor:
    """The table with rows and columns exchanged."""
    return table.unflatten(0, offsets(window)).transpose(0, 1).flatten(0, 1)


def smooth_table(window: int, heads: int = 2) -> torch.Tensor:
    """A table like a trained one: a peak at the centre that falls off, another slope per head."""
    axis = torch.arange(1 - window, window, dtype=torch.float32)
    distance = (axis[:, None] ** 2 + 0.5 * axis[None, :] ** 2).sqrt()
    return torch.stack([torch.exp(-distance / (head + 2)) for head in range(heads)], dim=-1).flatten(0, 1)


@pytest.mark.parametrize("sides", [(7, 12), (12, 7), (6, 7), (2, 12)])
def test_spline_equals_scipy(sides: tuple[int, int]) -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    generator = torch.Generator().manual_seed(0)
    knots = torch.rand(2 * sides[0] - 1, generator=generator, dtype=torch.float64).add(0.2).cumsum(0)
    wanted = torch.linspace(float(knots[0]), float(knots[-1]), 2 * sides[1] - 1, dtype=torch.float64)
    values = torch.randn(len(knots), generator=generator, dtype=torch.float64)
    degree = min(3, len(knots) - 1)
    expected = interpolate.make_interp_spline(knots.numpy(), values.numpy(), k=degree)(wanted.numpy())
    torch.testing.assert_close(spline_weights(knots, wanted) @ values, torch.from_numpy(expected))


def test_geometric_is_simmims() -> None:
    """SciPy's spline over a rectangle at offsets 1, 1 + q, 1 + q + q^2, ..., where q makes the last one reach 11."""
    interpolate = pytest.importorskip("scipy.interpolate")
    optimize = pytest.importorskip("scipy.optimize")
    table = smooth_table(7)
    ratio = optimize.brentq(lambda q: sum(q**power for power in range(6)) - 11, 1.01, 1.5, xtol=1e-12)
    side = [sum(ratio**power for power in range(steps)) for steps in range(1, 7)]
    knots = [-offset for offset in reversed(side)] + [0] + side
    wanted = range(-11, 12)
    for head in range(2):
        spline = interpolate.RectBivariateSpline(knots, knots, table[:, head].view(13, 13).double().numpy())
        expected = torch.from_numpy(spline(wanted, wanted)).float().flatten()
        torch.testing.assert_close(geometric(table, (7, 7), (12, 12))[:, head], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.peers
@pytest.mark.parametrize("windows", [(7, 12), (6, 7), (12, 16)])
def test_geometric_is_near_timm(windows: tuple[int, int]) -> None:
    """timm draws straight lines between the same knots where SimMIM, and we, draw a cubic spline."""
    layers = pytest.importorskip("timm.layers")
    then, now = windows
    table = smooth_table(then)
    shape = ((2 * now - 1) ** 2, 2)
    expected = layers.resize_rel_pos_bias_table(table, (now, now), shape)
    apart = (geometric(table, (then, then), (now, now)) - expected).abs().max()
    assert apart < 0.03 < (bicubic(table, (then, then), (now, now)) - expected).abs().max()


@settings(max_examples=40)
@given(window=WINDOWS, target=WINDOWS)
def test_a_compacted_table_holds_for_offsets_twice_as_far(window: Size, target: Size) -> None:
    """Even offsets have the very value of their half, as far as the table reaches, and beyond that its edge's."""
    table = some_table(window)
    found, known = from_compacted(table, window, target).unflatten(0, offsets(target)), table.unflatten(0, offsets(window))
    for row in range(1 - target[0], target[0]):
        for column in range(1 - target[1], target[1]):
            halves = [max(1 - side, min(side - 1, offset / 2)) for side, offset in zip(window, (row, column), strict=True)]
            if all(half == int(half) for half in halves):
                wanted = known[int(halves[0]) + window[0] - 1, int(halves[1]) + window[1] - 1]
                torch.testing.assert_close(found[row + target[0] - 1, column + target[1] - 1], wanted)


def test_version_2_is_asked_of_whole_maps_at_half_the_offset() -> None:
    """The network's coordinates of an offset on the compacted map are those of twice the offset on the whole one."""
    seen = SwinConfig(version=2, image_size=32, window_size=4, depths=(1, 1), num_heads=(1, 2), embed_dim=8)
    for stage in range(2):
        (before, _), (after, _) = seen.pretrained_window(stage), on_whole_pictures(seen).pretrained_window(stage)
        ours = log_spaced_coordinates((before, before), (before, before)).view(2 * before - 1, 2 * before - 1, 2)
        theirs = log_spaced_coordinates((after, after), (after, after)).view(2 * after - 1, 2 * after - 1, 2)
        torch.testing.assert_close(theirs[::2, ::2], ours)


def test_bicubic_is_microsofts() -> None:
    table = smooth_table(7)
    picture = table.permute(1, 0).view(1, 2, 13, 13)
    expected = F.interpolate(picture, size=(23, 23), mode="bicubic").view(2, 529).permute(1, 0)
    assert torch.equal(bicubic(table, (7, 7), (12, 12)), expected)


def test_the_conventions_differ() -> None:
    table = smooth_table(7)
    apart = (bicubic(table, (7, 7), (12, 12)) - geometric(table, (7, 7), (12, 12))).abs().max()
    assert apart > 0.1 * table.abs().max()


@given(window=WINDOWS, method=st.sampled_from((bicubic, geometric)))
def test_the_same_window_is_the_same_table(window: Size, method) -> None:
    table = some_table(window)
    torch.testing.assert_close(method(table, window, window), table, rtol=1e-5, atol=1e-6)


@given(window=WINDOWS, target=WINDOWS, method=st.sampled_from((bicubic, geometric, from_compacted)))
def test_rows_are_resized_as_columns_are(window: Size, target: Size, method) -> None:
    table = some_table(window)
    found = method(table, window, target)
    assert found.shape == (math.prod(offsets(target)), 2)
    exchanged = method(turned(table, window), window[::-1], target[::-1])
    torch.testing.assert_close(exchanged, turned(found, target), rtol=1e-5, atol=1e-5)


@given(window=WINDOWS, target=WINDOWS, method=st.sampled_from((bicubic, geometric, from_compacted)))
def test_a_table_that_is_even_stays_so(window: Size, target: Size, method) -> None:
    even = torch.full((math.prod(offsets(window)), 2), 3.0, dtype=torch.float64)
    found = method(even, window, target)
    torch.testing.assert_close(found, torch.full_like(found, 3.0), rtol=1e-5, atol=0)


TINY = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "num_classes": 3, "image_size": 32, "window_size": 4}


def test_fit_keeps_the_bits_of_a_stage_whose_window_stays() -> None:
    config = SwinConfig.model_validate({**TINY, "image_size": 64, "window_size": 8})
    target = moved(config, (32, 32))  # the first stage keeps 8, the second has only 4 rows
    state = shake(SwinClassifier(config)).state_dict()
    fitted = fit(state, config, target, "bicubic")
    SwinClassifier(target).load_state_dict(fitted)
    tables = [name for name in state if name.endswith("table")]
    assert [fitted[name].shape == state[name].shape for name in tables] == [True, False]
    assert all(torch.equal(fitted[name], state[name]) for name in state if name != tables[1])


def test_version_2_remembers_where_it_was_trained() -> None:
    config = configure("swinv2_b_192", embed_dim=32, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8))
    target = moved(config, (384, 384), (24, 24))
    assert target.pretrained_window_sizes == (12, 12, 12, 6) == configure("swinv2_b_384_ft").pretrained_window_sizes
    further = moved(target, (256, 256), (16, 16))
    assert further.pretrained_window_sizes == (12, 12, 12, 6)
    model, larger = SwinClassifier(config), SwinClassifier(target)
    larger.load_state_dict(fit(model.state_dict(), config, target, "bicubic"))


def test_version_2_asks_its_network_at_the_trained_spacing() -> None:
    """A bias between two offsets that both windows have is the same before and after."""
    config = SwinConfig.model_validate({**TINY, "version": 2, "image_size": 64})
    target = moved(config, (64, 64), (8, 8))
    model, larger = shake(SwinClassifier(config)), SwinClassifier(target)
    larger.load_state_dict(model.state_dict())
    small = model.backbone.stages[0].blocks[0].attention.bias().view(1, 4, 4, 4, 4)
    large = larger.backbone.stages[0].blocks[0].attention.bias().view(1, 8, 8, 8, 8)
    torch.testing.assert_close(large[:, :4, :4, :4, :4], small)


@pytest.mark.parametrize("geometry", ["classification", "dense"])
def test_version_2_remembers_windows_that_are_no_squares(geometry: str) -> None:
    """The last stage of an oblong picture: each axis is asked at its own spacing."""
    fields = {**TINY, "version": 2, "image_size": (16, 24), "window_size": (3, 5)}
    config = SwinConfig.model_validate({**fields, "geometry": geometry})
    target = moved(config, (64, 64), (8, 8))
    assert target.pretrained_window_sizes == (((3, 5), (2, 3)) if geometry == "classification" else ((3, 5), (3, 5)))
    assert SwinConfig.model_validate(target.model_dump(mode="json")) == target
    assert moved(target, (32, 32), (4, 4)).pretrained_window_sizes == target.pretrained_window_sizes
    model, larger = shake(SwinClassifier(config)), SwinClassifier(target)
    larger.load_state_dict(model.state_dict())
    small = model.backbone.stages[0].blocks[0].attention.bias().view(1, 3, 5, 3, 5)
    large = larger.backbone.stages[0].blocks[0].attention.bias().view(1, 8, 8, 8, 8)
    torch.testing.assert_close(large[:, :3, :5, :3, :5], small)


def test_absolute_positions_are_resized_as_the_model_would() -> None:
    config = SwinConfig.model_validate({**TINY, "ape": True})
    model = shake(SwinClassifier(config))
    target = moved(config, (64, 48))
    fitted = fit(model.state_dict(), config, target, "bicubic")
    tokens = torch.zeros(1, 16, 12, 8)
    torch.testing.assert_close(fitted["backbone.patch_embed.position"], model.backbone.patch_embed.position_for(tokens))


def test_unknown_method() -> None:
    config = SwinConfig.model_validate(TINY)
    with pytest.raises(UsageError, match="bicubic, geometric"):
        fit({}, config, config, "nearest")
