"""timm since 0.9: merging at the start of a stage, ``head.fc``, nothing saved that can be computed."""

from __future__ import annotations

from ...config import SwinConfig
from . import microsoft
from .table import Buffer, Dialect, Row, rounds_down

ROWS = (
    *microsoft.renamed(
        microsoft.without(microsoft.ROWS, "head", "reconstruction", "backbone.patch_embed.position"), "{before}", "{i}"
    ),
    Row("head.{leaf}", "{p}head.fc.{leaf}"),
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
    return reasons + rounds_down(config) + rolls_before_padding(config)


def rolls_before_padding(config: SwinConfig) -> list[str]:
    """The reason against ``config`` where a map that is shifted does not divide into windows: timm pads it when it is rolled already."""
    for stage in range(config.num_stages if config.geometry == "classification" else 0):
        grid, window = config.grid(stage), config.stage_window(stage)
        if config.depths[stage] > 1 and any(side % extent for side, extent in zip(grid, window, strict=True)):
            sizes = "{}x{}".format(*config.image_size), "{}x{}".format(*grid), "{}x{}".format(*window)
            return ["pictures of {} give stage {} a map of {}, which windows of {} do not divide; timm rolls such a map before it pads it, "
                    "so that its edges meet".format(sizes[0], stage + 1, *sizes[1:])]  # fmt: skip
    return []


TIMM = Dialect(
    name="timm",
    title="timm since 0.9",
    rows={1: ROWS, 2: ROWS},
    buffers={1: NOT_SAVED, 2: NOT_SAVED},
    refuses=refuses,
    resizing="geometric",
)
