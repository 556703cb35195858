"""Position information for another window or picture size, by the convention of those who trained it.

"bicubic" is Microsoft's and OpenMMLab's: the table as a picture. "geometric" is SimMIM's and timm's: offsets far from the centre are
taken to lie wider apart, in a geometric progression that reaches the new window's edge, and a cubic spline goes through them
(SimMIM, arXiv 2111.09886, its fine-tuning code; timm draws straight lines through the same points). The two differ by a third of the peak, so the source decides. Sparse pre-training
saw tokens that lay :data:`APART` apart: what it learned of an offset holds for one that many times as far. Version 2 has no table:
its network is asked at other coordinates, spaced as when it was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import SwinConfig, as_side
from ..errors import UsageError
from ..model.windows import Size

TABLE = "backbone.stages.{}.blocks.{}.attention.bias.table"
POSITION = "backbone.patch_embed.position"
APART = 2  # tokens of a picture from one token of its compacted map to the next, on average


def bicubic(table: Tensor, window: Size, target: Size) -> Tensor:
    """Bias table ((2h-1)(2w-1), heads) of ``window`` for ``target``, interpolated as a picture of 2h-1 rows."""
    picture = table.T.reshape(1, -1, *_offsets(window)).float()
    resized = F.interpolate(picture, size=_offsets(target), mode="bicubic", align_corners=False)
    return resized.flatten(2)[0].T.to(table.dtype)


def geometric(table: Tensor, window: Size, target: Size) -> Tensor:
    """Bias table ((2h-1)(2w-1), heads) of ``window`` for ``target``, by a cubic spline through geometrically spaced offsets."""
    picture = table.T.reshape(-1, *_offsets(window)).double()
    rows, columns = (_geometric_weights(*sides) for sides in zip(_offsets(window), _offsets(target), strict=True))
    return (rows @ picture @ columns.T).flatten(1).T.to(table.dtype)


def from_compacted(table: Tensor, window: Size, target: Size) -> Tensor:
    """Bias table ((2h-1)(2w-1), heads) of ``window`` on a compacted map for ``target`` on a whole one, by a cubic spline; beyond the reach
    of ``window`` it is what it is at its edge."""
    picture = table.T.reshape(-1, *_offsets(window)).double()
    rows, columns = (_compacted_weights(*sides) for sides in zip(window, target, strict=True))
    return (rows @ picture @ columns.T).flatten(1).T.to(table.dtype)


USUAL = "bicubic"
METHODS: dict[str, Callable[[Tensor, Size, Size], Tensor]] = {
    "bicubic": bicubic,
    "geometric": geometric,
    "compacted": from_compacted,
}


def moved(config: SwinConfig, image_size: Size, window_size: Size | None = None) -> SwinConfig:
    """``config`` for pictures of ``image_size`` and, if given, windows of ``window_size``.

    Version 2 is :func:`with_pretrained_windows`.
    """
    fields = {"image_size": image_size, "window_size": window_size or config.window_size}
    try:
        return with_pretrained_windows(SwinConfig.model_validate({**config.model_dump(), **fields}), config)
    except ValueError as fault:
        raise UsageError(f"image_size {image_size}, window {window_size}: {fault}") from None


def with_pretrained_windows(target: SwinConfig, trained: SwinConfig) -> SwinConfig:
    """``target`` for the weights of ``trained``; where windows of version 2 differ, it records those at which log-CPB was trained."""
    if trained.version == 1 or _windows(target) == _windows(trained):
        return target
    return target.model_copy(update={"pretrained_window_sizes": trained.pretrained_windows})


def on_whole_pictures(seen: SwinConfig) -> SwinConfig:
    """``seen``, of compacted pictures, with the reach that its offsets have on whole ones, at which version 2 is asked."""
    if seen.version == 1:
        return seen
    reach = [
        as_side(tuple(APART * (side - 1) + 1 for side in seen.pretrained_window(stage))) for stage in range(seen.num_stages)
    ]
    return seen.model_copy(update={"pretrained_window_sizes": tuple(reach)})


def fit(state: Mapping[str, Tensor], config: SwinConfig, target: SwinConfig, method: str) -> dict[str, Tensor]:
    """``state`` of ``config`` for ``target``, which differs in picture size and windows only; see :func:`moved`.

    ``method`` names the convention for bias tables, one of :data:`METHODS`. A stage whose window stays keeps its bits, but for "compacted".
    """
    if method not in METHODS:
        raise UsageError(f"There is no resizing {method!r}. Known: {', '.join(METHODS)}")
    answer = dict(state)
    for stage, depth in enumerate(config.depths[: target.num_stages] if config.version == 1 else ()):
        now, then = target.stage_window(stage), config.stage_window(stage)
        for name in (TABLE.format(stage, block) for block in range(depth) if now != then or method == "compacted"):
            answer[name] = METHODS[method](state[name], then, now)
    if config.ape and config.grid(0) != target.grid(0):
        position = state[POSITION].permute(0, 3, 1, 2).float()
        resized = F.interpolate(position, size=target.grid(0), mode="bicubic", align_corners=False)
        answer[POSITION] = resized.permute(0, 2, 3, 1).to(state[POSITION].dtype)
    return answer


def _windows(config: SwinConfig) -> list[Size]:
    return [config.stage_window(stage) for stage in range(config.num_stages)]


def _offsets(window: Size) -> Size:
    return 2 * window[0] - 1, 2 * window[1] - 1


def _geometric_weights(source: int, target: int) -> Tensor:
    """Matrix (target, source), float64, from values at geometrically spaced offsets to values at whole ones."""
    reach, steps = target // 2, source // 2
    if source == target:
        return torch.eye(source, dtype=torch.float64)
    if steps == 0:
        return torch.ones(target, source, dtype=torch.float64)
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if (1 - ratio**steps) / (1 - ratio) > reach:
            high = ratio
        else:
            low = ratio
    side = torch.cumsum(ratio ** torch.arange(steps, dtype=torch.float64), 0)
    knots = torch.cat((-side.flip(0), torch.zeros(1, dtype=torch.float64), side))
    wanted = torch.arange(-reach, reach + 1, dtype=torch.float64).clamp(knots[0], knots[-1])
    return spline_weights(knots, wanted)


def _compacted_weights(window: int, target: int) -> Tensor:
    """Matrix (2 target - 1, 2 window - 1), float64, from values at the offsets of ``window`` to those at offsets :data:`APART` times as dense."""
    if window == 1:
        return torch.ones(2 * target - 1, 1, dtype=torch.float64)
    knots = torch.arange(1 - window, window, dtype=torch.float64)
    wanted = torch.arange(1 - target, target, dtype=torch.float64) / APART
    return spline_weights(knots, wanted.clamp(knots[0], knots[-1]))


def spline_weights(knots: Tensor, wanted: Tensor) -> Tensor:
    """Matrix (wanted, knots) that evaluates the cubic spline through values at ``knots``; both float64, ascending.

    The third derivative is continuous at the second and last but one knot ("not a knot", as FITPACK and SciPy interpolate); with
    three knots it is the parabola.
    """
    count = len(knots)
    if count == 3:
        powers = torch.arange(3, dtype=torch.float64)
        return (wanted[:, None] ** powers) @ torch.linalg.inv(knots[:, None] ** powers)
    gaps = knots.diff()
    system, right = torch.zeros(count, count, dtype=torch.float64), torch.zeros(count, count, dtype=torch.float64)
    for i in range(1, count - 1):  # continuity of the first derivative, in terms of second derivatives
        before, after = gaps[i - 1], gaps[i]
        system[i, i - 1 : i + 2] = torch.stack((before, 2 * (before + after), after))
        right[i, i - 1 : i + 2] = 6 * torch.stack((1 / before, -1 / before - 1 / after, 1 / after))
    system[0, :3] = torch.stack((gaps[1], -gaps[0] - gaps[1], gaps[0]))
    system[-1, -3:] = torch.stack((gaps[-1], -gaps[-2] - gaps[-1], gaps[-2]))
    bending = torch.linalg.solve(system, right)  # second derivative at each knot, of unit values
    left = (torch.searchsorted(knots, wanted, right=True) - 1).clamp(0, count - 2)
    gap, values = gaps[left, None], torch.eye(count, dtype=torch.float64)
    a = (knots[left + 1] - wanted)[:, None] / gap
    b = 1 - a
    curved = ((a**3 - a) * bending[left] + (b**3 - b) * bending[left + 1]) * gap**2 / 6
    return a * values[left] + b * values[left + 1] + curved
