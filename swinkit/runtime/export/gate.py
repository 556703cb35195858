"""The bars that an int8 graph must reach. Free of NumPy, so that the command line's help can tell them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import UsageError


@dataclass(frozen=True)
class Gate:
    """What int8 must reach on held-out pictures.

    ``agreement``: share of pictures to which float32 and int8 give the same best class, or with several labels the same labels. ``accuracy_drop`` and ``class_drop``: how
    much top-1, and the recall of any class, may fall; one picture of a class is never a fall. ``speedup`` over the faster of float32
    and bfloat16. Raises :class:`UsageError` for a bar to which nothing could be held.
    """

    agreement: float = 0.99
    accuracy_drop: float = 0.005
    class_drop: float = 0.05
    speedup: float = 1.05

    def __post_init__(self) -> None:
        for name, bar in vars(self).items():
            share = name != "speedup"
            if not (0 <= bar <= 1 if share else 0 <= bar < math.inf):
                what = "a share from 0 to 1, where 99 % is 0.99" if share else "a number from 0, how many times as fast"
                raise UsageError(f"The bar {name!r} for int8 is {what}, got {bar:g}. Mend: for instance {getattr(Gate, name)}")
