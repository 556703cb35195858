"""How should a Swin know where things are? No position at all, an absolute embedding, the relative bias.

Swin, table 4: none 80.1, absolute 80.5, relative bias 81.3 of ImageNet top-1, all with shifted windows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from swinkit.model.classifier import SwinClassifier
from swinkit.report.plots import interval_chart

from .mechanism import RESULTS, Budget, Claim, command_line, configuration, interval, judged, keep, over_seeds, top1, train

PAPER = "Swin, section 4.4, table 4"
PICTURES = 60_000  # seen in training by each run, unless told otherwise
SEEDS = 5  # runs of each arm, likewise
CLAIMS = {
    ("relative", "none"): Claim("top-1 with relative bias is above top-1 without position", f"{PAPER} (81.3 against 80.1)"),
    ("relative", "absolute"): Claim(
        "top-1 with relative bias is above top-1 with absolute embedding", f"{PAPER} (81.3 against 80.5)"
    ),
    ("absolute", "none"): Claim(
        "top-1 with absolute embedding is above top-1 without position", f"{PAPER} (80.5 against 80.1)"
    ),
}


class NoBias(nn.Module):
    """Nothing is added to the logits: (heads, N, N) of zeros, with the signature of the biases."""

    zeros: Tensor

    def __init__(self, heads: int, tokens: int) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(heads, tokens, tokens), persistent=False)

    def forward(self) -> Tensor:
        return self.zeros


def relative() -> SwinClassifier:
    return SwinClassifier(configuration())


def unbiased(ape: bool) -> SwinClassifier:
    model = SwinClassifier(configuration(ape=ape))
    for stage, blocks in enumerate(model.backbone.stages):
        rows, columns = model.config.stage_window(stage)
        for block in blocks.blocks:  # type: ignore[union-attr]
            block.attention.bias = NoBias(block.attention.heads, rows * columns)
    return model


def run(budget: Budget, folder: Path = RESULTS) -> dict[str, Any]:
    arms = {"none": lambda: unbiased(ape=False), "absolute": lambda: unbiased(ape=True), "relative": relative}
    found = over_seeds(
        {name: lambda seed, build=build: top1(train(build, budget, seed), budget) for name, build in arms.items()}, budget
    )
    claims = [judged(claim, found[better], found[worse]) for (better, worse), claim in CLAIMS.items()]
    chart = interval_chart("Test top-1", {name: interval(values) for name, values in found.items()}, share=True)
    return keep("position", budget, {"top1": found, "claims": claims}, chart, folder)


if __name__ == "__main__":
    command_line(run, __doc__, PICTURES, SEEDS)
