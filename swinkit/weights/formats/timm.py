"""timm since 0.9: merging at the start of a stage, ``head.fc``, nothing saved that can be computed."""

from __future__ import annotations

from ...config import SwinConfig
from . import microsoft
from .table import Buffer, Dialect, Row

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
    """timm has no absolute position embedding in either version."""
    return ["timm has no absolute position embedding (ape)"] if config.ape else []


TIMM = Dialect(
    name="timm",
    title="timm since 0.9",
    rows={1: ROWS, 2: ROWS},
    buffers={1: NOT_SAVED, 2: NOT_SAVED},
    refuses=refuses,
    resizing="geometric",
)
