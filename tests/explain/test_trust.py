"""Trust: a map that is right passes, a map that is not fails, each for its reason."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from swinkit.explain.blank import blank
from swinkit.explain.trust import (
    TrustSettings,
    Worth,
    area,
    deleted,
    forgetful,
    in_cells,
    layers_of,
    p_value,
    random_deletions,
    rank_correlation,
    trust,
)
from tests.explain.models import VERSIONS, small

SETTINGS = TrustSettings(cell=8, pairs=9)
WEIGHTS = torch.zeros(64, 64).index_put((torch.arange(16, 32)[:, None], torch.arange(40, 56)), torch.tensor(1.0))


def bright(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """A worth that is known: how much contrast there is inside one square."""
    return ((images - blank(images)).abs().mean(1) * WEIGHTS).sum((1, 2)) / 200


def image() -> torch.Tensor:
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))


def learned(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """A map that is right about :func:`bright`, and that a model whose weights were shuffled does not give."""
    told = float(next(model.parameters()).detach().flatten()[0])
    generator = torch.Generator().manual_seed(int(abs(told) * 1e6))
    values = WEIGHTS if told == LEARNED else torch.rand(64, 64, generator=generator)
    return values.expand(len(images), 64, 64) + 0.01 * torch.linspace(0, 1, 64)


LEARNED = 0.25


@pytest.fixture
def model() -> nn.Module:
    answer = small(1)
    with torch.no_grad():
        next(answer.parameters()).view(-1)[0] = LEARNED
    return answer


def test_a_right_map_passes(model: nn.Module) -> None:
    found = trust(model, image(), learned, bright, SETTINGS)
    assert found.passed, found.checks
    areas = [float(area(curve, found.shares).mean()) for curve in (found.deletion, found.chance, found.insertion)]
    assert areas == sorted(areas)
    assert list(found.layers) == ["head", "stage 2", "stage 1", "all"]


def test_a_map_that_is_upside_down_fails_deletion(model: nn.Module) -> None:
    found = trust(model, image(), lambda m, i: -learned(m, i), bright, SETTINGS)
    assert "deletion and insertion" in found.failed


def test_a_map_that_knows_no_weights_fails_randomisation(model: nn.Module) -> None:
    found = trust(model, image(), lambda m, i: WEIGHTS.expand(len(i), 64, 64), bright, SETTINGS)
    assert found.failed == ("weight randomisation",)


def test_a_map_that_noise_moves_fails_noise(model: nn.Module) -> None:
    def nervous(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
        seeds = (images.flatten(1).sum(1) * 1e4).long().tolist()
        rows = [torch.rand(64, 64, generator=torch.Generator().manual_seed(seed % 2**31)) for seed in seeds]
        return torch.stack(rows)

    assert "noise" in trust(model, image(), nervous, bright, SETTINGS).failed


def test_a_constant_map_is_not_believed(model: nn.Module) -> None:
    found = trust(model, image(), lambda m, i: torch.ones(len(i), 64, 64), bright, SETTINGS)
    assert not found.passed


def in_few_cells(count: int, seed: int) -> tuple[torch.Tensor, Worth]:
    """A map (1, 56, 56) of ``count`` of 49 cells, and a worth that is all there."""
    places = torch.randperm(49, generator=torch.Generator().manual_seed(seed))[:count]
    weights = nn.functional.interpolate(torch.zeros(49).index_fill(0, places, 1).view(1, 1, 7, 7), scale_factor=8)[0]
    return weights, lambda model, images: (images * weights).sum((1, 2, 3)) / weights.sum() / 3


@pytest.mark.parametrize(("count", "least"), [(1, 14), (2, 18), (3, 19), (4, 19)])
def test_a_right_map_passes_though_its_evidence_lies_in_few_cells(model: nn.Module, count: int, least: int) -> None:
    """Of 20. An order of 49 is as good about one cell if it begins or ends there: at most 1 of 19 does, 4 times of 5."""
    passed = 0
    for seed in range(20):
        settings = TrustSettings(cell=8, seed=seed)
        weights, worth = in_few_cells(count, seed)
        picture = weights + torch.rand(1, 3, 56, 56, generator=torch.Generator().manual_seed(seed)) / 5
        order = in_cells(weights, 8).flatten().argsort(descending=True, stable=True)
        chance = random_deletions(model, picture, worth, settings)
        found, backwards = deleted(model, picture, worth, torch.stack((order, order.flip(0))), settings)
        passed += p_value(found, backwards.flip(0), chance, settings.gone(49) / 49) <= settings.level
    assert passed >= least


@pytest.mark.parametrize("cells", [1, 2, 49])
def test_random_maps_pass_deletion_as_rarely_as_is_said(model: nn.Module, cells: int) -> None:
    weights, worth = in_few_cells(cells, 0)
    picture = weights + image()[..., :56, :56] / 5
    shares, generator, passed = SETTINGS.gone(49) / 49, torch.Generator().manual_seed(9), 0
    orders = torch.stack([torch.randperm(49, generator=generator) for _ in range(400)])
    forward, backward = deleted(model, picture, worth, torch.cat((orders, orders.flip(1))), SETTINGS).chunk(2)
    for own, *others in torch.arange(400).view(40, 10).tolist():
        chance = torch.cat((forward[others], backward[others]))
        passed += p_value(forward[own], backward[own].flip(0), chance, shares) <= SETTINGS.level
    assert passed <= 5  # 5 % of 40 is 2


def test_a_worth_that_nothing_changes_shows_nothing(model: nn.Module) -> None:
    flat = torch.ones(20, 6)
    assert p_value(flat[0], flat[0], flat, SETTINGS.gone(49) / 49) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 49, 1024])
def test_one_cell_is_told_apart_at_both_ends(count: int) -> None:
    gone = TrustSettings(cell=8).gone(count)
    assert gone.tolist() == sorted(set(gone.tolist()))
    assert torch.equal(gone, count - gone.flip(0))
    assert (gone[0], gone[1], gone[-1]) == (0, 1, count)
    assert len(gone) == min(6, count + 1)


def test_deletion_ends_blank_and_insertion_begins_there(model: nn.Module) -> None:
    picture = image()
    curve = deleted(model, picture, bright, torch.arange(64)[None], SETTINGS)[0]
    assert float(curve[0]) == pytest.approx(float(bright(model, picture)), rel=1e-5)
    assert float(curve[-1]) == pytest.approx(float(bright(model, blank(picture))), rel=1e-5)


def test_only_chosen_cells_are_taken_away(model: nn.Module) -> None:
    among = torch.zeros(8, 8, dtype=torch.bool)
    among[6:, :] = True
    settings = TrustSettings(cell=8, among=among)
    curve = deleted(model, image(), bright, torch.arange(16)[None], settings)[0]
    assert torch.allclose(curve, curve[:1].expand(len(curve)), rtol=0.03)  # the square that counts is elsewhere


@pytest.mark.parametrize("size", [(61, 50), (64, 64), (9, 70)])
def test_cells_cover_any_size(size: tuple[int, int]) -> None:
    maps = torch.rand(2, *size)
    found = in_cells(maps, 8)
    assert found.shape == (2, -(-size[0] // 8), -(-size[1] // 8))
    assert float(found[0, -1, -1]) == pytest.approx(float(maps[0, (size[0] - 1) // 8 * 8 :, (size[1] - 1) // 8 * 8 :].mean()))


@pytest.mark.parametrize("version", VERSIONS)
def test_shuffling_reaches_the_named_layers_and_no_others(version: int) -> None:
    model = small(version)
    names = list(layers_of(model))
    assert names == ["head", "stage 2", "stage 1", "embedding"]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forgotten = forgetful(model, torch.Generator().manual_seed(0), 2)
    assert [len(forgotten[name]) for name in names] == [2] * 4
    assert not torch.equal(*(other.backbone.patch_embed.proj.weight for other in forgotten["embedding"]))
    altered = forgotten["stage 2"][0].state_dict()
    changed = {
        name.split(".")[0] if "stages" not in name else name.split(".")[2]
        for name in before
        if not torch.equal(before[name], altered[name])
    }
    assert changed == {"norm", "head", "1"}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(before[name].flatten().sort()[0], altered[name].flatten().sort()[0]) for name in before)
    held = {id(p) for parts in layers_of(model).values() for part in parts for p in part.parameters()}
    assert held == {id(p) for p in model.parameters()}


def test_rank_correlation_is_spearmans() -> None:
    from scipy.stats import spearmanr

    generator = torch.Generator().manual_seed(1)
    a, b = torch.randint(0, 9, (2, 80), generator=generator).float()
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-5)
    assert rank_correlation(a, torch.ones(80)) == 0


def test_the_model_is_left_alone(model: nn.Module) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trust(model, image(), learned, bright, SETTINGS)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_hooks_of_a_model_hear_its_copies_and_are_not_copied() -> None:
    class Heard:
        def __init__(self) -> None:
            self.lock, self.count = threading.Lock(), 0  # a lock cannot be copied

        def __call__(self, *_: object) -> None:
            self.count += 1

    model, heard = small(1), Heard()
    model.norm.register_forward_hook(heard)
    *_, (whole,) = forgetful(model, torch.Generator().manual_seed(0)).values()
    whole(torch.zeros(1, 3, 64, 64))
    assert heard.count == 1
