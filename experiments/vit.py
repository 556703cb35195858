"""A Vision Transformer and a Swin at equal MACs: swin_nano against torchvision's ViT of as many blocks, at 28 and at 56 pixels.

Both learn from nothing by the same recipe with AdamW; at double resolution each keeps its patch and sees a quarter of the
pictures, which for Swin is as much work. Swin, section 3.1 and table 1: attention in windows grows with the number of patches,
global attention with its square, and Swin is the more accurate at like cost.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from swinkit.model.classifier import SwinClassifier
from swinkit.report.plots import interval_chart
from swinkit.study.macs import count_macs
from swinkit.study.vit import VitConfig, build_vit, count_vit_macs

from .mechanism import (
    RESULTS,
    SIDE,
    Budget,
    Claim,
    command_line,
    configuration,
    interval,
    judged,
    keep,
    over_seeds,
    top1,
    train,
)

PICTURES = 60_000  # seen in training by each run, unless told otherwise
SEEDS = 3  # runs of each arm, likewise
SIDES = (SIDE, 2 * SIDE)
VIT = VitConfig("vit_nano", width=66, heads=3, gmacs=0.0, depth=8, patch=4, num_classes=10)
CLAIMS = {
    side: Claim(
        f"top-1 of swin_nano is above ViT's at {side} pixels", "Swin, section 4.1, table 1 (81.3 against DeiT-S's 79.8)"
    )
    for side in SIDES
}
COST = Claim("MACs of ViT grow more than Swin's when the side doubles", "Swin, section 3.2, equations 1 and 2")


def swin(side: int) -> nn.Module:
    return SwinClassifier(configuration(side=side))


def vit(side: int) -> nn.Module:
    """torchvision's network for gray pictures."""
    model = build_vit(VIT, side)
    model.conv_proj = nn.Conv2d(1, VIT.width, VIT.patch, stride=VIT.patch)
    return model


def macs() -> dict[str, dict[int, int]]:
    """Of one gray picture, by side; MACs are multiply-accumulates of matrix products, norms and softmax not counted."""
    ours = {side: count_macs(configuration(side=side), (side, side)).total for side in SIDES}
    theirs = {side: count_vit_macs(VIT, (side, side)) for side in SIDES}  # it counts three channels in the first layer
    return {"swin_nano": ours, "ViT": {side: found.total - found.patch * 2 // 3 for side, found in theirs.items()}}


def learned(build: Any, budget: Budget, seed: int) -> dict[int, float]:
    answer = {}
    for side in SIDES:
        own = replace(budget, pictures=max(1, budget.pictures * SIDE**2 // side**2))
        answer[side] = top1(train(lambda side=side: build(side), own, seed, side, optimizer="adamw"), budget, side)
    return answer


def run(budget: Budget, folder: Path = RESULTS) -> dict[str, Any]:
    found = over_seeds(
        {name: lambda seed, build=build: learned(build, budget, seed) for name, build in (("swin_nano", swin), ("ViT", vit))},
        budget,
    )
    top = {name: {side: [at[side] for at in seeds] for side in SIDES} for name, seeds in found.items()}
    cost = macs()
    claims = [judged(claim, top["swin_nano"][side], top["ViT"][side]) for side, claim in CLAIMS.items()]
    times = {name: at[SIDES[1]] / at[SIDES[0]] for name, at in cost.items()}
    claims.append(judged(COST, [times["ViT"]] * 2, [times["swin_nano"]] * 2))  # counted, so every seed would give the same
    rows = {f"{name}, {side} px": interval(values) for name, at in top.items() for side, values in at.items()}
    chart = interval_chart("Test top-1", rows, share=True)
    return keep("vit", budget, {"macs": cost, "top1": found, "claims": claims}, chart, folder)


if __name__ == "__main__":
    command_line(run, __doc__, PICTURES, SEEDS)
