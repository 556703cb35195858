"""All that a tour knows: each chapter's plain values, gathered under one name."""

from __future__ import annotations

from typing import Any

from ...study.macs import count_macs
from ...tasks import create_model
from ...variants import ROWS
from . import blocks, costs, foreign, measured, patches, position, second, windows
from .measured import Effort
from .packing import png
from .painting import Chosen, choose_painter, reconstruction
from .subject import Subject
from .tracing import trace


def gather(subject: Subject, effort: Effort, painter: Chosen | None = None) -> dict[str, Any]:
    """Every chapter's values for ``subject``, ready for the texts and, as JSON, for the page's drawings.

    ``painter`` paints the chapter on SimMIM, by default the one of :func:`~.painting.choose_painter`.
    """
    traced = trace(subject.model, subject.image)
    return {
        "size": list(subject.size), "trained": subject.trained, "tiny": subject.tiny, "truth": subject.truth,
        "picture": subject.picture_name, "model": subject.model_name, "shown": png(subject.shown),
        "classes": list(subject.model.classes) if subject.trained else [], "measured": bool(effort.repeats), "machine": measured.machine(),
        "vit": patches.vit(), "foreign": foreign.judged(subject),
        "partition": patches.partition(subject, traced), "embedding": patches.embedding(subject, traced),
        "hierarchy": patches.hierarchy(subject, traced), "merging": patches.merging(subject, traced),
        "norm": blocks.norms(subject), "pair": blocks.pair(subject, traced),
        "costs": costs.by_resolution(), "shift": windows.shift(subject, traced), "shift_ways": measured.shift_ways(effort),
        "bias": position.bias(subject, traced), "attention": windows.attention(traced),
        "variants": variants(), "second": second.second(subject, traced), "reconstruction": reconstruction(subject, painter or choose_painter(subject.model_name)),
        "against": measured.against_vit(effort), "performance": measured.performance(subject, effort),
        "speed": measured.speed_ups(subject, effort),
    }  # fmt: skip


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
