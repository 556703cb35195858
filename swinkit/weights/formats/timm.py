"""timm since 0.9: merging at the start of a stage, ``head.fc``, nothing saved that can be computed."""

from __future__ import annotations

from ...config import SwinConfig
from . import microsoft
from .table import Buffer, Dialect, Row, rounds_down

ROWS = (
    *microsoft.renamed(
        microsoft.without(microsoft.ROWS, "head", "reconstruction", "backbone.patch_embed.position"), "{before}", "{i}"
    ),
    Row("head.{leaf}", "head.fc.{leaf}"),
)
NOT_SAVED = tuple(
    Buffer(buffer.theirs, buffer.make, written=False)
    for buffer in (microsoft.INDEX, microsoft.COORDINATES, microsoft.MASK, microsoft.KEYS)
)


def refuses(config: SwinConfig) -> list[str]:
    """What timm's classes have no argument for, or compute otherwise."""
    reasons = []
    if config.ape:
        reasons.append("timm has no absolute position embedding (ape)")
    if config.geometry == "dense":
        reasons.append("timm rolls a map before it pads it, so at most sizes geometry 'dense' is another function there")
    return reasons + rounds_down(config)


TIMM = Dialect(
    name="timm",
    title="timm since 0.9",
    rows={1: ROWS, 2: ROWS},
    buffers={1: NOT_SAVED, 2: NOT_SAVED},
    refuses=refuses,
    resizing="geometric",
)
