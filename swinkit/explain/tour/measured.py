"""Chapters that a clock decides: padded against cyclic shift, Swin against ViT, latency by resolution, and what speeds it up."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ... import timing
from ...machine import processor
from ...model.windows import WindowGrid
from ...study.macs import count_macs, msa, padding_share
from ...study.vit import VITS, build_vit, count_vit_macs
from ...study.ways import compare_ways, has_kernel
from ...tasks import create_model
from .costs import VIT
from .padded import PaddedGrid
from .subject import GEOMETRY, Subject


@dataclass(frozen=True)
class Effort:
    """How long to measure: ``repeats`` runs of each, taken in turn; 0 measures nothing. ``sides`` are the pictures' sides."""

    repeats: int = 5
    sides: tuple[int, ...] = (224, 448, 672)


@torch.inference_mode()
def in_turn(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, Any]]:
    """Milliseconds of each of ``runs``, by :func:`swinkit.timing.in_turn`: median, fastest, slowest."""
    return {name: milliseconds(seconds) for name, seconds in timing.in_turn(runs, repeats).items()}


def milliseconds(seconds: Sequence[float]) -> dict[str, Any]:
    taken = [second * 1e3 for second in seconds]
    return {"median": statistics.median(taken), "low": min(taken), "high": max(taken), "runs": len(taken)}


def machine() -> dict[str, Any]:
    return {"processor": processor()["name"], "threads": torch.get_num_threads(), "torch": torch.__version__.split("+")[0]}


def shift_ways(effort: Effort) -> dict[str, Any]:
    """SW-MSA of Swin-T's first stage on its 56 x 56 map in both ways: windows, MACs, time, and their largest difference."""
    swin: Any = create_model(GEOMETRY).eval()
    attention = swin.backbone.stages[0].blocks[1].attention
    x = torch.randn(1, 56, 56, 96, generator=torch.Generator().manual_seed(0))
    cyclic = WindowGrid.regular(x, (7, 7)).shifted(x, always=False)
    padded = PaddedGrid.of(cyclic, x)
    with torch.inference_mode():
        difference = float((attention(x, cyclic) - attention(x, padded)).abs().max())
    ways: dict[str, Any] = {
        name: {"windows": math.prod(grid.counts), "macs": math.prod(grid.counts) * msa(7, 7, 96)}
        for name, grid in (("cyclic", cyclic), ("padded", padded))
    }
    if effort.repeats:
        runs = {"cyclic": lambda: attention(x, cyclic), "padded": lambda: attention(x, padded)}
        for name, times in in_turn(runs, 4 * effort.repeats).items():
            ways[name]["time"] = times
    return {**ways, "difference": difference, "more_macs": ways["padded"]["macs"] / ways["cyclic"]["macs"] - 1}


def against_vit(effort: Effort) -> dict[str, Any]:
    """Swin-T and ViT-S/16, fresh weights, on noise of several sizes: MACs by formula, time by clock, in turn."""
    swin = create_model(GEOMETRY).eval()
    rows = []
    for side in effort.sides:
        row: dict[str, Any] = {
            "side": side, "swin_macs": count_macs(swin.config, (side, side)).total,
            "vit_macs": count_vit_macs(VITS[VIT], (side, side)).total, "vit_tokens": VITS[VIT].tokens((side, side)),
        }  # fmt: skip
        if effort.repeats:
            images = torch.randn(1, 3, side, side)
            vit = build_vit(VITS[VIT], side)
            row["times"] = in_turn({"swin": _call(swin, images), "vit": _call(vit, images)}, effort.repeats)
            row["ratio"] = row["times"]["vit"]["median"] / row["times"]["swin"]["median"]
        rows.append(row)
    parameters = {"swin": _parameters(swin), "vit": _parameters(build_vit(VITS[VIT], effort.sides[0]))}
    strides = {"swin": list(swin.config.strides), "vit": VITS[VIT].patch}
    return {"rows": rows, "parameters": parameters, "strides": strides, "measured": bool(effort.repeats)}


def performance(subject: Subject, effort: Effort) -> dict[str, Any]:
    """MACs by part, parameters, and latency by picture size, of the tour's model and of Swin-T."""
    answer: dict[str, Any] = {}
    for name, model in (("model", subject.model), ("swin_t", create_model(GEOMETRY).eval())):
        config = model.config
        size = config.image_size
        counted = count_macs(config, size)
        parts = {part: getattr(counted, part) for part in counted.__dataclass_fields__}
        answer[name] = {"parameters": _parameters(model), "macs": counted.total, "parts": parts, "size": list(size)}
        if not effort.repeats:
            continue
        doubled = 2 * size[0], 2 * size[1]
        runs = {}
        for tag, (height, width) in (("once", size), ("double", doubled)):
            runs[tag] = _call(model, torch.randn(1, config.in_channels, height, width))
        answer[name]["times"] = in_turn(runs, effort.repeats)
    return answer


def speed_ups(subject: Subject, effort: Effort) -> dict[str, Any]:
    """What can be had without another library, each measured on the tour's model: ways to run it, batches, no autograd, a size that fits."""
    model, config = subject.model, subject.model.config
    height, width = config.image_size
    stride = config.strides[-1]
    awkward = height + stride // 2 + 1, width + stride // 2 + 1
    answer: dict[str, Any] = {
        "size": [height, width], "awkward": list(awkward), "padding": padding_share(config, awkward),
        "padding_native": padding_share(config, (height, width)), "batch": 16 if subject.tiny else 4,
        "ways": ways(subject, effort), "kernel": has_kernel(), "fastest": None,
    }  # fmt: skip
    if not effort.repeats:
        return answer
    one, many = (torch.randn(count, config.in_channels, height, width) for count in (1, answer["batch"]))
    runs = {"one": _call(model, one), "batch": _call(model, many), "autograd": _recorded(model, one)}
    times = in_turn(runs, effort.repeats)
    answer["fastest"] = max(answer["ways"], key=lambda way: way["gain"])
    answer["times"] = times
    answer["batch_gain"] = times["one"]["median"] * answer["batch"] / times["batch"]["median"]
    answer["autograd_cost"] = times["autograd"]["median"] / times["one"]["median"]
    return answer


def ways(subject: Subject, effort: Effort) -> list[dict[str, Any]]:
    """The tour's model on the tour's picture, run in every way: time, how many times as fast as plain, and how far the answer moved."""
    rows = [{"name": name, **row} for name, row in compare_ways(subject.model, subject.image, effort.repeats).items()]
    for row in rows if effort.repeats else ():
        row["time"] = milliseconds(row.pop("seconds"))
        row["gain"] = rows[0]["time"]["median"] / row["time"]["median"]
    return rows


def _call(model: nn.Module, images: Tensor) -> Callable[[], Any]:
    return lambda: model(images)


def _recorded(model: nn.Module, images: Tensor) -> Callable[[], Any]:
    def run() -> Any:
        with torch.inference_mode(False), torch.enable_grad():
            return model(images.clone())

    return run


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
