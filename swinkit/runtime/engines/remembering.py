"""What an engine's parts computed for a size of map, kept for the next picture of that size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MOST_SIZES = 32  # one more, and all are forgotten


def memoised(known: dict[Any, Any], key: tuple[Any, ...], make: Callable[..., Any]) -> Any:
    """``known[key]``, which is ``make(*key)`` where it is missing.

    A plain dictionary, because torch.compile looks into nothing else.
    """
    if (found := known.get(key)) is None:
        if len(known) >= MOST_SIZES:  # threads may have added several
            known.clear()
        known[key] = found = make(*key)
    return found
