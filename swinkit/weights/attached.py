"""What loading leaves on a module beside its weights, read in one place with one default for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..preprocessing import Preprocessing


class Attached(NamedTuple):
    """The attributes that :func:`swinkit.load` leaves on a model; what nobody left there is its default.

    ``classes`` and ``preprocessing`` are None where they are not known: a network without a head has classes, none of them.
    """

    task: str
    classes: tuple[str, ...] | None
    multi_label: bool
    preprocessing: Preprocessing | None
    metadata: Mapping[str, Any]

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1 where none was fitted."""
        return float(self.metadata.get("temperature", 1.0))


def attached(model: Any) -> Attached:
    """What loading, or whoever made it, left on ``model``: of any module, since none has to carry it."""
    classes = getattr(model, "classes", None)
    return Attached(
        task=getattr(model, "task", "classification"),
        classes=None if classes is None else tuple(classes),
        multi_label=bool(getattr(model, "multi_label", False)),
        preprocessing=getattr(model, "preprocessing", None),
        metadata=getattr(model, "metadata", None) or {},
    )
