"""Can a map be believed? Three measured checks; a map that fails one says so wherever it is shown.

Deletion and insertion (Petsiuk et al., arXiv 1806.07421): does taking away what the map marks lower the score sooner, and bringing
it back raise it sooner, than in random order? Weight randomisation (Adebayo et al., arXiv 1810.03292): is the map another one when
the model has forgotten everything? Noise: does it stay when the picture changes invisibly?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels.accelerate import accelerated, apart, own_tensors
from .blank import blank, covered
from .seeing import backbone_of

MapOf = Callable[[nn.Module, Tensor], Tensor]  # model, images (B, channels, H, W) -> maps (B, H, W)
Worth = Callable[[nn.Module, Tensor], Tensor]  # model, images -> (B,), what must fall as the picture loses what matters
Forgotten = Mapping[str, Sequence[nn.Module]]  # by the layer back to which models were shuffled, the first layer last


@dataclass(frozen=True)
class TrustSettings:
    """How thoroughly a map is checked. ``cell`` is the side in pixels of the squares that are taken away, ``among`` (rows,
    columns) which of them take part, all by default.

    A map is believed when at most a share ``level`` of orders has a gap between insertion and deletion as large as its own: of its
    order and ``pairs`` random ones, each with its reverse, so 9 pairs are the fewest that can show 5 %; when its rank correlation
    with maps of randomised models is at most ``remembered``, and with maps of noisy pictures at least ``steady``, on average.
    ``steps`` pictures, an even number, lie between the whole and the empty one. ``noise`` is a standard deviation in units of the
    picture's own.
    """

    cell: int
    steps: int = 4
    pairs: int = 19
    level: float = 0.05
    models: int = 3
    remembered: float = 0.5
    pictures: int = 4
    noise: float = 0.1
    steady: float = 0.7
    batch_size: int = 16
    seed: int = 0
    among: Tensor | None = field(default=None, repr=False)

    def grid(self, image: Tensor) -> tuple[int, int]:
        """Rows and columns of cells of ``image`` (B, channels, H, W)."""
        return -(-image.shape[-2] // self.cell), -(-image.shape[-1] // self.cell)

    def chosen(self, image: Tensor) -> Tensor:
        """Row-major numbers of the cells that take part, (n,)."""
        rows, columns = self.grid(image)
        every = torch.arange(rows * columns, device=image.device)
        return every if self.among is None else every[self.among.flatten()]

    def gone(self, count: int) -> Tensor:
        """How many of ``count`` cells are taken away, from none to all: finer towards both ends, (points,).

        One cell may hold all evidence, and an order that has it first is told from the others only by what the first cell does.
        What is taken away first comes back last, so both ends matter alike.
        """
        half = self.steps // 2
        early = (1 + ((count / 2) ** 0.5 - 1) * torch.arange(half) / half).square().round()
        return torch.cat((early, count - early, torch.tensor([0.0, count]))).unique()

    def generator(self, purpose: int) -> torch.Generator:
        return torch.Generator().manual_seed(1000 * self.seed + purpose)


@dataclass(frozen=True)
class Check:
    """One check: ``value`` against the ``limit`` it must keep."""

    name: str
    value: float
    limit: float
    passed: bool


@dataclass(frozen=True)
class Trust:
    """The verdict on one map.

    ``deletion`` are the values of the picture as what the map marks is taken away, strongest first, over ``shares`` of the cells, all
    (points,); ``insertion`` as it is brought back into the blank picture; ``chance`` (2 pairs, points) as random cells are taken away.
    ``layers`` names how far the model was randomised, from its head backwards, with the map's rank correlation to the original.
    """

    checks: tuple[Check, ...]
    deletion: Tensor = field(repr=False)
    insertion: Tensor = field(repr=False)
    chance: Tensor = field(repr=False)
    shares: Tensor = field(repr=False)
    layers: dict[str, float]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(check.name for check in self.checks if not check.passed)

    def to_dict(self) -> dict[str, Any]:
        curves = {"deletion": self.deletion, "insertion": self.insertion, "random": self.chance.mean(0)}
        return {
            "passed": self.passed,
            "checks": [vars(check) for check in self.checks],
            "areas": {name: float(area(curve, self.shares)) for name, curve in curves.items()},
            "curves": {"shares": self.shares.tolist(), **{name: curve.tolist() for name, curve in curves.items()}},
            "randomised_to": self.layers,
        }


def trust(
    model: nn.Module, image: Tensor, explain: MapOf, worth: Worth, settings: TrustSettings, chance: Tensor | None = None,
    forgotten: Forgotten | None = None,
) -> Trust:  # fmt: skip
    """Check the maps that ``explain`` makes of ``image`` (1, channels, H, W); ``worth`` is what they claim to account for.

    ``chance`` is :func:`random_deletions` of the same worth, and ``forgotten`` :func:`forgotten_by`, where they are known from another map.
    """
    seen = _Cells(explain, image, settings)
    found = seen.of(model, image)[0]
    if chance is None:
        chance = random_deletions(model, image, worth, settings)
    order = found.argsort(descending=True, stable=True)
    deletion, backwards = deleted(model, image, worth, torch.stack((order, order.flip(0))), settings)
    insertion = backwards.flip(0)
    shares = settings.gone(len(found)) / len(found)
    layers = randomised_correlations(model, image, seen, forgotten or forgotten_by(model, settings))
    checks = (
        _check("deletion and insertion", p_value(deletion, insertion, chance, shares), settings.level, above=False),
        _check("weight randomisation", layers["all"], settings.remembered, above=False),
        _check("noise", noisy_correlation(model, image, seen, settings), settings.steady, above=True),
    )
    return Trust(checks, deletion, insertion, chance, shares, layers)


class _Cells:
    """Maps as the numbers of the cells that take part."""

    def __init__(self, explain: MapOf, image: Tensor, settings: TrustSettings) -> None:
        self._explain, self._cell, self._chosen = explain, settings.cell, settings.chosen(image)

    def of(self, model: nn.Module, images: Tensor) -> Tensor:
        """(B, n): means of the maps over each cell."""
        return in_cells(self._explain(model, images), self._cell).flatten(1)[:, self._chosen]


def in_cells(maps: Tensor, cell: int) -> Tensor:
    """Mean of maps (B, H, W) over squares of ``cell`` pixels, smaller at the bottom and right: (B, rows, columns)."""
    return F.avg_pool2d(maps[:, None], cell, ceil_mode=True, count_include_pad=False)[:, 0]


@torch.no_grad()
def deleted(model: nn.Module, image: Tensor, worth: Worth, orders: Tensor, settings: TrustSettings) -> Tensor:
    """``worth`` as cells are taken away along each of ``orders`` (K, n): (K, points), from the whole picture to none of them.

    The points are :meth:`TrustSettings.gone`. A worth of several numbers a picture, (B, m), gives (K, points, m).
    """
    model = accelerated(model)
    rows, columns = settings.grid(image)
    chosen = settings.chosen(image)
    rank = orders.argsort(dim=1).to(image.device)  # when each cell goes
    gone = settings.gone(len(chosen)).to(image.device)
    kept = torch.ones(len(orders), len(gone) - 1, rows * columns, dtype=torch.bool, device=image.device)
    kept[..., chosen] = rank[:, None] >= gone[1:, None]
    # what is left of the picture in the end is the same for every order, and asked about once
    between, last = kept[:, :-1].reshape(-1, rows, columns), kept[:1, -1].view(1, rows, columns)
    empty = blank(image)
    pictures = (covered(image, empty, part, settings.cell) for part in torch.cat((last, between)).split(settings.batch_size))
    values = torch.cat([worth(model, image), *(worth(model, batch) for batch in pictures)])
    ends = values[:2].expand(len(orders), *values[:2].shape).split(1, dim=1)
    inner = values[2:].view(len(orders), len(gone) - 2, *values.shape[1:])
    return torch.cat((ends[0], inner, ends[1]), dim=1).float().cpu()


def random_deletions(model: nn.Module, image: Tensor, worth: Worth, settings: TrustSettings) -> Tensor:
    """:func:`deleted` along random orders and their reverses, (2 pairs, points).

    Bringing back along an order is taking away along its reverse, read backwards; so a pair has a gap as a map has one.
    """
    generator, count = settings.generator(1), len(settings.chosen(image))
    orders = torch.stack([torch.randperm(count, generator=generator) for _ in range(settings.pairs)])
    return deleted(model, image, worth, torch.cat((orders, orders.flip(1))), settings)


def area(curves: Tensor, shares: Tensor) -> Tensor:
    """Area under curves (..., points) over ``shares`` of the cells, by trapezoids."""
    return torch.trapezoid(curves, shares)


def p_value(deletion: Tensor, insertion: Tensor, chance: Tensor, shares: Tensor) -> float:
    """Which share of the orders has a gap between insertion and deletion as large as the map's: of its own and the random ones, each
    with its reverse, whose gap is the negative one.

    Were the map's order random too, each would be as likely to have the largest gap. So this is exact however gaps are distributed,
    and where evidence lies in few cells they are far from normal.
    """
    forward, reverse = area(chance, shares).chunk(2)
    gap = area(insertion, shares) - area(deletion, shares)
    gaps = torch.cat((gap[None], forward - reverse))
    as_large = torch.cat((gaps, -gaps)) >= gap - 1e-6  # nearer than that, single precision tells nothing
    return int(as_large.sum()) / len(as_large)


def randomised_correlations(model: nn.Module, image: Tensor, seen: _Cells, forgotten: Forgotten) -> dict[str, float]:
    """Rank correlation of the map with the maps of the models in ``forgotten``, by how far they were shuffled.

    "all" is the mean size over the whole shuffles, since a map turned upside down has remembered too.
    """
    original = seen.of(model, image)

    def likeness(other: nn.Module) -> float:
        return rank_correlation(seen.of(other, image), original)

    *partly, whole = forgotten.items()
    found = {name: likeness(models[0]) for name, models in partly}
    return found | {"all": sum(abs(likeness(other)) for other in whole[1]) / len(whole[1])}


def layers_of(model: nn.Module) -> dict[str, Sequence[nn.Module]]:
    """Parts of a model from its end to its beginning: the head with all that is not backbone, the stages, the embedding."""
    backbone = backbone_of(model)
    inside = set(backbone.modules())
    holders = {module for module in model.modules() if inside & set(module.modules())} - inside
    rest = [part for holder in holders for part in holder.children() if part not in holders | {backbone}]
    stages = {f"stage {index + 1}": [stage] for index, stage in reversed(list(enumerate(backbone.stages)))}
    return {"head": rest, **stages, "embedding": [backbone.patch_embed]}


def forgotten_by(model: nn.Module, settings: TrustSettings) -> Forgotten:
    return forgetful(model, settings.generator(2), settings.models)


@torch.no_grad()
def forgetful(model: nn.Module, generator: torch.Generator, times: int = 1) -> Forgotten:
    """Copies of ``model`` that have forgotten everything from its end back to each of its layers, ``times`` of each.

    Each parameter there has its numbers in another order: that forgets what was learned and keeps the distribution, where fresh weights
    would switch V2's branches off. The other tensors are ``model``'s own.
    """
    found: dict[str, list[nn.Module]] = {}
    for _ in range(times):
        becomes = own_tensors(model)
        for name, parts in layers_of(model).items():
            for parameter in {id(p): p for part in parts for p in part.parameters()}.values():
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                becomes[id(parameter)] = nn.Parameter(parameter.flatten()[order].view_as(parameter))
            found.setdefault(name, []).append(apart(model, becomes))
    return found


def noisy_correlation(model: nn.Module, image: Tensor, seen: _Cells, settings: TrustSettings) -> float:
    """Mean rank correlation of the map with the maps of noisy pictures."""
    generator = settings.generator(3)
    noise = torch.randn(settings.pictures, *image.shape[1:], generator=generator).to(image)
    original = seen.of(model, image)[0]
    noisy = seen.of(model, image + settings.noise * image.std() * noise)
    return sum(rank_correlation(one, original) for one in noisy) / settings.pictures


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's, of all numbers of two equal shapes; 0 where one of them is constant."""
    ranks = torch.stack([_ranks(x.flatten().cpu()) for x in (a, b)])
    return float(torch.nan_to_num(torch.corrcoef(ranks)[0, 1]))


def _ranks(x: Tensor) -> Tensor:
    """Ranks from 0, equal numbers sharing their mean rank."""
    _, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0)
    return ((2 * ends - counts - 1) / 2.0)[inverse]


def _check(name: str, value: float, limit: float, above: bool) -> Check:
    return Check(name, value, limit, value >= limit if above else value <= limit)
