"""Where two curves cross, in the logarithm of both axes, and how steeply a curve grows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise


def crossings(one: Mapping[float, float], other: Mapping[float, float]) -> list[float]:
    """Every place where ``one`` and ``other``, positive values over positive places, change order: straight between common places."""
    places = sorted(set(one) & set(other))
    gaps = [math.log(one[at] / other[at]) for at in places]
    answer = []
    for (left, before), (right, after) in pairwise(zip(places, gaps, strict=True)):
        if before == 0:
            answer.append(left)
        elif before * after < 0:
            share = before / (before - after)
            answer.append(math.exp(math.log(left) + share * math.log(right / left)))
    if gaps and gaps[-1] == 0:
        answer.append(places[-1])
    return answer


def exponent(curve: Mapping[float, float]) -> float | None:
    """b of the power law a·x^b through ``curve``, by least squares of the logarithms; None for fewer than two places."""
    if len(curve) < 2:
        return None
    points = [(math.log(at), math.log(value)) for at, value in curve.items()]
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    below = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / below
