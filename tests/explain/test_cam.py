"""Class activation maps: they add up to the score, they stand where the token is, and the layer in front of the norm says nothing."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from swinkit.errors import UsageError
from swinkit.explain.blank import blank, blurred
from swinkit.explain.cam import Reading, cam, cam_tokens, reading_of, traced_cam
from swinkit.explain.explanation import Explainer
from swinkit.explain.field import receptive_field
from swinkit.explain.gradients import integrated_gradients, smoothgrad
from swinkit.explain.methods import METHODS
from swinkit.explain.rollout import traced_back
from swinkit.explain.scores import class_target, find_class, likeliest, told_apart
from swinkit.explain.seeing import leaf_at, meetings, upsampled
from swinkit.model.backbone import space_to_depth
from tests.explain.models import VERSIONS, small


def pictures(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_map_adds_up_to_the_score(version: int) -> None:
    """The mean over tokens is the score less the head's bias, which is what makes it the CAM of Zhou et al."""
    model = small(version)
    images = pictures(56, 56)
    target = class_target(model, 2)
    found = cam(model, images, target.score)
    with torch.no_grad():
        expected = target.score(model(images)) - target.score(model.head.bias[None])
    tokens = cam_tokens(model, images, target.score)
    torch.testing.assert_close(tokens.mean((1, 2)), expected, rtol=1e-4, atol=1e-5)
    assert found.shape == (2, 56, 56)
    normed = model.norm(model.backbone.run_stages(model.backbone.embed(images))[-1])
    weights = model.head.weight[2] - model.head.weight.mean(0)
    torch.testing.assert_close(found, upsampled(normed @ weights, 4, (56, 56)).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("version", VERSIONS)
def test_in_front_of_the_norm_gradient_times_activation_is_nothing(version: int) -> None:
    """Euler's theorem, and the reason why the map is taken behind the norm."""
    model = small(version).double()
    images = pictures(56, 56).double()
    score = class_target(model, 1).score
    with torch.no_grad(), leaf_at(model.backbone.stages[-1].blocks[-1]) as leaves:
        (gradient,) = torch.autograd.grad(score(model(images)).sum(), leaves)
    in_front = (gradient * leaves[0].detach()).sum(-1).abs().max()
    assert float(in_front) < 1e-3 * float(gradient.norm(dim=-1).max() * leaves[0].detach().norm(dim=-1).max())


@pytest.mark.parametrize("stage", [0, 1, -1])
@pytest.mark.parametrize("version", VERSIONS)
def test_any_stage_and_any_size(version: int, stage: int) -> None:
    model = small(version)
    assert cam(model, pictures(61, 50), class_target(model, 0).score, stage).shape == (2, 61, 50)


def test_behind_merging_the_four_neighbours_are_told_apart() -> None:
    """A product that is 1 at one token of the finer map only must come back at its place."""
    model = small(1)
    reading = reading_of(model, 0)
    x = torch.zeros(1, 28, 28, 16)
    x[0, 5, 8] = 1
    merge = model.backbone.stages[1].merge
    merge.norm, merge.reduction = nn.Identity(), nn.Identity()
    marked = reading.map_of(merge(x))[0] > 0
    assert marked.nonzero().tolist() == [[5, 8]]


@given(height=st.integers(1, 9), width=st.integers(1, 9), channels=st.integers(1, 3), place=st.data())
def test_a_token_that_was_merged_comes_back_to_its_place(height: int, width: int, channels: int, place) -> None:
    row, column = place.draw(st.tuples(st.integers(0, height - 1), st.integers(0, width - 1)), label="token")
    x = torch.zeros(1, height, width, channels)
    x[0, row, column] = 1
    marked = Reading(nn.Identity(), 4, parts=2).map_of(space_to_depth(x))[0]
    assert marked.nonzero().tolist() == [[row, column]]
    assert float(marked.sum()) == channels


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3))
def test_no_map_loses_or_adds_anything(batch: int, rows: int, columns: int, channels: int, parts: int) -> None:
    generator = torch.Generator().manual_seed(0)
    product = torch.randint(-9, 10, (batch, rows, columns, parts**2 * channels), generator=generator)
    found = Reading(nn.Identity(), 4, parts).map_of(product)
    assert found.shape == (batch, parts * rows, parts * columns)
    assert torch.equal(found.sum((1, 2)), product.sum((1, 2, 3)))


def test_a_map_is_enlarged_by_its_stride_not_stretched() -> None:
    tokens = torch.zeros(1, 8, 7)
    tokens[0, 7, 0] = 1
    found = upsampled(tokens, 8, (61, 50))
    assert found.shape == (1, 61, 50)
    assert divmod(int(found.argmax()), 50)[0] in range(56, 61)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_map_changes_nothing(version: int) -> None:
    model = small(version)
    images = pictures(56, 56)
    before = model(images)
    cam(model, images, class_target(model, 0).score)
    assert torch.equal(model(images), before)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()


def test_adding_the_same_to_every_logit_changes_no_map_of_exclusive_classes() -> None:
    model = small(1)
    images, target = pictures(56, 56), class_target(model, 1)
    before = cam(model, images, target.score)
    with torch.no_grad():
        model.head.weight += torch.randn(1, model.head.weight.shape[1])
    torch.testing.assert_close(cam(model, images, target.score), before, rtol=1e-3, atol=1e-4)


def test_shares_are_what_the_predictor_says() -> None:
    model = small(1)
    logits = model(pictures(56, 56))
    shares = torch.stack([class_target(model, index).share(logits) for index in range(4)], 1)
    torch.testing.assert_close(shares, logits.softmax(1))
    model.metadata = {"temperature": 2.0}
    torch.testing.assert_close(class_target(model, 3).share(logits), (logits / 2).softmax(1)[:, 3])
    model.multi_label = True
    torch.testing.assert_close(class_target(model, 3).share(logits), (logits / 2).sigmoid()[:, 3])


def test_integrated_gradients_add_up() -> None:
    model = small(1)
    images, score = pictures(56, 56), class_target(model, 2).score

    found = integrated_gradients(model, images, score, steps=64).sum((1, 2))
    with torch.no_grad():
        expected = score(model(images)) - score(model(blank(images)))
    assert found.tolist() == pytest.approx(expected.tolist(), rel=0.05, abs=0.02)


def test_smoothgrad_is_not_negative() -> None:
    model = small(2)
    assert float(smoothgrad(model, pictures(40, 40), class_target(model, 2).score).min()) >= 0


def test_smoothgrad_of_a_seed_is_one_map_and_draws_nothing_from_torchs_chance() -> None:
    model, images = small(2), pictures(40, 40)
    score, before = class_target(model, 2).score, torch.get_rng_state()
    first = smoothgrad(model, images, score, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(smoothgrad(model, images, score, seed=3), first)
    assert not torch.equal(smoothgrad(model, images, score, seed=4), first)


@pytest.mark.parametrize("method", METHODS)
def test_the_map_that_is_checked_is_the_one_that_is_shown(method: str) -> None:
    model = small(1)
    shown = [
        Explainer(model, np.arange(56 * 56 * 3, dtype=np.uint8).reshape(56, 56, 3), checked, pairs=9, models=1, seed=5)
        .of_target(class_target(model, 1), method)
        .values
        for checked in (True, False)
    ]
    assert torch.equal(*shown)


def test_classes_by_name_and_number() -> None:
    assert find_class(("ant", "bee"), "bee") == 1
    assert find_class(("1", "0"), "1") == 0
    assert find_class(("ant", "bee"), "0") == 0
    with pytest.raises(UsageError, match=r"no class 'been'.*bee"):
        find_class(("ant", "bee"), "been")


def test_of_two_classes_of_one_name_the_number_tells_which() -> None:
    model = small(1)
    model.classes = ("crane", "bee", "crane", "dog")
    assert [class_target(model, index).name for index in range(3)] == ["crane (0)", "bee", "crane (2)"]
    assert [target.name for target in likeliest(model, torch.tensor([[1.0, 4, 2, 3]]), 3)] == ["bee", "dog", "crane (2)"]
    with pytest.raises(UsageError, match=r"2 classes called 'crane'.*0 or 2"):
        find_class(model.classes, "crane")
    assert find_class(model.classes, "2") == find_class(model.classes, "crane (2)") == 2
    assert told_apart(("crane", "crane", "crane (0)")) == ["crane (0)", "crane (1)", "crane (0) (2)"]


def test_a_model_with_a_norm_for_each_stage_says_so() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = small(1).backbone
            self.norms = nn.ModuleList(nn.LayerNorm(width) for width in (16, 32))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.backbone.run_stages(self.backbone.embed(images))
            return torch.stack([norm(x).square().mean((1, 2, 3)) for norm, x in zip(self.norms, maps, strict=True)], 1)

    model = Dense()
    for stage in (0, 1):
        found = cam(model, pictures(56, 56), lambda outputs, stage=stage: outputs[:, stage], stage)
        assert found.shape == (2, 56, 56)
        assert float(found.mean()) > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_traced_back_the_evidence_is_kept_and_stays_in_its_windows(version: int) -> None:
    """All evidence on one token of the last map: on the patches there is as much, within the windows that lead to it."""
    model, images = small(version), pictures(56, 56)
    with meetings(model) as met, torch.no_grad():
        model(images)
    evidence = torch.zeros(2, 14, 14)
    evidence[:, 3, 3] = 1.0
    found = traced_back(met, evidence)
    assert found.shape == (2, 28, 28)
    assert found.sum((1, 2)).tolist() == pytest.approx([1, 1], abs=1e-4)
    field = receptive_field(model, images, 1, (3, 3))
    reached = nn.functional.avg_pool2d(field[:, None], 2)[:, 0] > 0
    assert bool(reached[found > 0].all())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_traced_map_is_evidence_only(version: int) -> None:
    model, images = small(version), pictures(61, 50)
    score = class_target(model, 1).score
    found = traced_cam(model, images, score)
    assert found.shape == (2, 61, 50)
    assert float(found.min()) >= 0
    against = traced_cam(model, images, lambda logits: -score(logits))
    assert not torch.allclose(found, against)


@pytest.mark.parametrize("shared_out", [False, True])
def test_a_blur_stays_within_the_picture(shared_out: bool) -> None:
    """By SciPy, for which there is nothing outside: divided by what is inside, where it arrives or where it comes from."""
    from scipy.ndimage import gaussian_filter

    image = torch.rand(2, 40, 30, dtype=torch.float64)
    spread = partial(gaussian_filter, sigma=(0, 3, 3), mode="constant", truncate=12)
    inside = spread(np.ones(image.shape))
    expected = spread(image.numpy() / inside) if shared_out else spread(image.numpy()) / inside
    torch.testing.assert_close(blurred(image, 3, shared_out), torch.from_numpy(expected), rtol=0, atol=1e-3)


def test_what_is_even_stays_even_under_a_mean_and_what_is_shared_out_keeps_its_sum() -> None:
    even = torch.ones(1, 56, 56)
    torch.testing.assert_close(blurred(even, 4), even)
    shared = blurred(even, 4, shared_out=True)[0]
    assert float(shared.mean()) == pytest.approx(1, rel=1e-5)
    assert float(shared[28, 28]) == pytest.approx(1, abs=0.01)
    assert math.log(2) < float(shared[0, 28]) < 0.76  # ln 2 where pixels are fine


@pytest.mark.parametrize("version", VERSIONS)
def test_a_traced_map_holds_all_the_evidence(version: int) -> None:
    """Also that of the tokens at the border, none of which is lost outside."""
    model, images = small(version), pictures(56, 56)
    score = class_target(model, 1).score
    evidence = cam_tokens(model, images, score).relu()
    with meetings(model) as met, torch.no_grad():
        model(images)
    expected = upsampled(traced_back(met, evidence), 2, (56, 56)).sum((1, 2))
    torch.testing.assert_close(traced_cam(model, images, score).sum((1, 2)), expected, rtol=1e-4, atol=1e-4)
