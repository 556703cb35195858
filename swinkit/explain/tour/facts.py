"""All that a tour knows: each chapter's plain values, gathered under one name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...study.macs import count_macs
from ...tasks import create_model
from ...variants import ROWS
from . import blocks, costs, foreign, measured, patches, position, second, windows
from .measured import Effort
from .packing import png
from .painting import Chosen, choose_painter, reconstruction
from .subject import Subject
from .tracing import trace

Progress = Callable[[int, int, str], object]


class Chapter(NamedTuple):
    """What ``compute`` gives stands under ``name``; ``about`` says to whoever waits what is being computed."""

    name: str
    about: str
    compute: Callable[[], Any]


def gather(
    subject: Subject, effort: Effort, painter: Chosen | None = None, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """Every chapter's values for ``subject``, ready for the texts and, as JSON, for the page's drawings.

    ``painter`` paints the chapter on SimMIM, by default the one of :func:`~.painting.choose_painter`. ``progress`` is told before each
    chapter how many are done, of how many, and what it is about.
    """
    facts: dict[str, Any] = {
        "size": list(subject.size), "trained": subject.trained, "tiny": subject.tiny, "truth": subject.truth,
        "picture": subject.picture_name, "model": subject.model_name, "shown": png(subject.shown),
        "classes": list(subject.model.classes) if subject.trained else [], "multi_label": subject.model.multi_label,
        "measured": bool(effort.repeats), "machine": measured.machine(),
    }  # fmt: skip
    listed = chapters(subject, effort, painter)
    for number, (name, about, compute) in enumerate(listed):
        progress(number, len(listed), about)
        facts[name] = compute()
    return facts


def chapters(subject: Subject, effort: Effort, painter: Chosen | None) -> list[Chapter]:
    """Every chapter, in the order in which they are computed."""
    traced = trace(subject.model, subject.image)
    return [
        Chapter("vit", "the Vision Transformer", patches.vit),
        Chapter("foreign", "comparing with known pictures", lambda: foreign.judged(subject)),
        Chapter("partition", "patch partition", lambda: patches.partition(subject, traced)),
        Chapter("embedding", "embedding", lambda: patches.embedding(subject, traced)),
        Chapter("hierarchy", "stages", lambda: patches.hierarchy(subject, traced)),
        Chapter("merging", "patch merging", lambda: patches.merging(subject, traced)),
        Chapter("norm", "layer norm", lambda: blocks.norms(subject)),
        Chapter("pair", "a pair of blocks", lambda: blocks.pair(subject, traced)),
        Chapter("costs", "costs by formula", costs.by_resolution),
        Chapter("shift", "shifted windows", lambda: windows.shift(subject, traced)),
        Chapter("shift_ways", "measuring padded and cyclic shift", lambda: measured.shift_ways(effort)),
        Chapter("bias", "relative position bias", lambda: position.bias(subject, traced)),
        Chapter("attention", "attention", lambda: windows.attention(traced)),
        Chapter("variants", "variants", variants),
        Chapter("second", "Swin V2", lambda: second.second(subject, traced)),
        Chapter("reconstruction", "SimMIM", lambda: reconstruction(subject, painter or choose_painter(subject.model_name))),
        Chapter("against", "measuring Swin and ViT", lambda: measured.against_vit(effort)),
        Chapter("performance", "measuring by picture size", lambda: measured.performance(subject, effort)),
        Chapter("speed", "measuring what speeds it up", lambda: measured.speed_ups(subject, effort)),
    ]


def variants() -> list[dict[str, Any]]:
    """Every row of the table of variants, with its parameters and MACs at its own picture size."""
    import torch

    rows = []
    for row in ROWS:
        config = row.config
        with torch.device("meta"):
            parameters = sum(parameter.numel() for parameter in create_model(row.name).parameters())
        rows.append(
            {
                "name": row.name, "alias": row.alias, "version": config.version, "image": config.image_size[0],
                "window": config.window_size[0], "width": config.embed_dim, "depths": list(config.depths),
                "heads": list(config.num_heads), "parameters": parameters, "macs": count_macs(config, config.image_size).total,
                "top1_1k": row.top1_1k, "top1_22k": row.top1_22k,
            }
        )  # fmt: skip
    return rows
