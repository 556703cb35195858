"""Pictures that stay decoded in memory from epoch to epoch, as many as a share of the free memory holds."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from torch import Tensor

from ..machine import available_memory


def room(share: float) -> int:
    """Bytes for pictures: ``share`` of the memory that is free now, here or in this container; none where that is not known."""
    return int(share * (available_memory() or 0))


class Kept:
    """Pictures by key, within ``room`` bytes.

    None is ever put out for another: each comes once an epoch, so that whatever was put out would be missed as often.
    """

    def __init__(self, room: int) -> None:
        self.room, self.held = room, 0
        self._pictures: dict[Hashable, Tensor] = {}

    def __len__(self) -> int:
        return len(self._pictures)

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The picture of ``key``, which nobody may change; ``make`` is asked where it is not here."""
        found = self._pictures.get(key)
        if found is None:
            found = make()
            if self.held + found.nbytes <= self.room:
                # a copy, since a cropped picture is a view that would hold the whole one
                self._pictures[key] = found.clone()
                self.held += found.nbytes
        return found
