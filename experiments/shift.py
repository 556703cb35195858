"""Do shifted windows help? swin_nano as it is, and with the windows of every block left where they are.

Swin, table 4: without shifting, Swin-T loses 1.1 points of ImageNet top-1 (80.2 against 81.3). There the maps are 8, 4, 2 and 1 windows
wide. With swin_nano's windows of 7 they are 2, 1 and 1, so that six of its eight blocks see the whole map and have nothing to shift;
with windows of 2 they are 7, 4 and 2, nearly as published. Both are tried.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from swinkit.model.backbone import Stage
from swinkit.model.classifier import SwinClassifier
from swinkit.model.windows import WindowGrid
from swinkit.report.plots import interval_chart

from .mechanism import RESULTS, Budget, Claim, command_line, configuration, interval, judged, keep, over_seeds, top1, train

PICTURES = 60_000  # seen in training by each run, unless told otherwise
SEEDS = 5  # runs of each arm, likewise
WINDOWS = (2, 7)
CLAIMS = {
    window: Claim(
        f"top-1 with shifted windows of {window} is above top-1 without",
        "Swin, section 4.4, table 4 (81.3 against 80.2, ImageNet)",
    )
    for window in WINDOWS
}


class Unshifted(nn.Module):
    """A stage whose blocks all use the regular windows."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.window, self.merge, self.blocks = stage.window, stage.merge, stage.blocks

    def forward(self, x: Tensor) -> Tensor:
        x = self.merge(x)
        grid = WindowGrid.regular(x, self.window)
        for block in self.blocks:
            x = block(x, grid)
        return x


def shifted(window: int) -> SwinClassifier:
    return SwinClassifier(configuration(window_size=window))


def unshifted(window: int) -> SwinClassifier:
    model = shifted(window)
    model.backbone.stages = nn.ModuleList(Unshifted(stage) for stage in model.backbone.stages)  # type: ignore[arg-type]
    return model


def run(budget: Budget, folder: Path = RESULTS) -> dict[str, Any]:
    ways = {"shifted": shifted, "not shifted": unshifted}
    arms = {f"{name}, window {window}": partial(build, window) for window in WINDOWS for name, build in ways.items()}
    found = over_seeds(
        {name: lambda seed, build=build: top1(train(build, budget, seed), budget) for name, build in arms.items()}, budget
    )
    claims = [
        judged(claim, found[f"shifted, window {window}"], found[f"not shifted, window {window}"])
        for window, claim in CLAIMS.items()
    ]
    chart = interval_chart("Test top-1", {name: interval(values) for name, values in found.items()}, share=True)
    return keep("shift", budget, {"top1": found, "claims": claims}, chart, folder)


if __name__ == "__main__":
    command_line(run, __doc__, PICTURES, SEEDS)
