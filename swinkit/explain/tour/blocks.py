"""Chapters on what surrounds attention: layer norm against batch norm, the MLP, residual sums, the pair of blocks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .subject import Subject
from .tracing import Trace, Watched


@torch.inference_mode()
def norms(subject: Subject) -> dict[str, Any]:
    """Both norms on the embedded tokens of this picture, alone and in the company of its mirror, negative and upside-down.

    ``ln_change`` and ``bn_change`` say how far this picture's result moves when the others join the batch.
    """
    image = subject.image
    batch = torch.cat((image, image.flip(3), -image, image.flip(2)))
    tokens = subject.model.backbone.embed(batch)
    alone, together = tokens[:1], tokens
    width = tokens.shape[-1]
    rows, columns = tokens.shape[1:3]
    token = alone[0, rows // 2, columns // 2]
    normed = F.layer_norm(token, (width,))

    def batch_norm(x: Tensor) -> Tensor:
        return F.batch_norm(x.movedim(-1, 1), None, None, training=True).movedim(1, -1)

    return {
        "row": rows // 2, "column": columns // 2, "width": width, "tokens": rows * columns, "batch": len(batch),
        "mean": float(token.mean()), "std": float(token.std(correction=0)),
        "mean_after": abs(float(normed.mean())), "std_after": float(normed.std(correction=0)),
        "ln_statistics": rows * columns * len(batch), "bn_statistics": width,
        "ln_change": float((F.layer_norm(alone, (width,)) - F.layer_norm(together, (width,))[:1]).abs().max()),
        "bn_change": float((batch_norm(alone) - batch_norm(together)[:1]).abs().max()),
    }  # fmt: skip


@torch.inference_mode()
def pair(subject: Subject, traced: Trace) -> dict[str, Any]:
    """The first pair of blocks step by step, and how large stream and branches are in every block.

    ``difference`` is how far x + branch is from what the model gives: the circled plus of the block drawings is this sum. Where a third norm
    follows, as in version 2's largest networks, it is part of it.
    """
    pre = subject.model.config.version == 1
    first = traced.stage(0)[:2]
    width = first[0].before.shape[-1]
    return {
        "steps": [step for one in first for step in steps(one, pre)], "width": width, "version": subject.model.config.version,
        "hidden": subject.model.backbone.stages[0].blocks[0].mlp.fc1.out_features,
        "attention_weights": sum(p.numel() for p in first[0].block.attention.parameters()),
        "mlp_weights": sum(p.numel() for p in first[0].block.mlp.parameters()),
        "difference": max(float((one.block.norm3(stream(one, pre)[-1]) - one.after).abs().max()) for one in traced.blocks),
        "streams": [sizes(one, pre) for one in traced.blocks],
    }  # fmt: skip


def stream(watched: Watched, pre: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Attention branch, the sum after it, MLP branch, and the sum after that."""
    names = ("attention", "mlp") if pre else ("norm1", "norm2")
    attention, mlp = (watched.parts[name][1] for name in names)
    middle = watched.before + attention
    return attention, middle, mlp, middle + mlp


def steps(watched: Watched, pre: bool) -> list[dict[str, Any]]:
    """What each step of a block leaves behind: mean and spread of its map."""
    attention = "sw" if watched.shifted else "w"
    _, middle, _, after = stream(watched, pre)
    parts = {name: answer for name, (_, answer) in watched.parts.items()}
    order = ("norm1", "attention") if pre else ("attention", "norm1")
    later = ("norm2", "mlp") if pre else ("mlp", "norm2")
    route = [("input", watched.before), *((name, parts[name]) for name in order), ("sum1", middle)]
    route += [*((name, parts[name]) for name in later), ("sum2", after)]
    return [
        {
            "step": name, "block": watched.index, "kind": attention, "shape": list(x.shape[1:]),
            "mean": round(float(x.mean()), 4), "std": round(float(x.std()), 4),
        }
        for name, x in route
    ]  # fmt: skip


def sizes(watched: Watched, pre: bool) -> dict[str, Any]:
    """Root mean square of the stream before a block and of its two branches."""
    attention, _, mlp, _ = stream(watched, pre)
    names = ("stream", "attention", "mlp")
    values = (watched.before, attention, mlp)
    answer = {name: float(x.square().mean().sqrt()) for name, x in zip(names, values, strict=True)}
    return {"stage": watched.stage, "block": watched.index, **answer}
