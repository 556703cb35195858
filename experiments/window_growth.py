"""What happens when the window grows after training? V1's bias table, enlarged bicubically, against V2's log-CPB, asked further out.

Both are trained at 28 pixels with windows of 7 and tested, without further training, at one and a half times and twice the
picture with the window grown alike. Swin V2, table 1: from window 8 to 16 the table's network falls from 81.7 to 68.7 (ImageNet
top-1, no fine-tuning), log-CPB's does not fall.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swinkit.kernels.accelerate import accelerate
from swinkit.model.classifier import SwinClassifier
from swinkit.report.plots import Curve, line_chart
from swinkit.weights.resize import fit, moved

from .mechanism import RESULTS, SIDE, Budget, Claim, command_line, configuration, judged, keep, over_seeds, top1, train

PICTURES = 60_000  # seen in training by each run, unless told otherwise
SEEDS = 3  # runs of each arm, likewise
SIZES = {28: 7, 42: 11, 56: 14}  # pixels: window
ARMS = {"V1, bicubic table": 1, "V2, log-CPB": 2}
CLAIM = Claim(
    "less top-1 is lost by V2's log-CPB than by V1's bicubic table when picture and window double",
    "Swin V2, section 3.3, table 1",
)


def grown(model: SwinClassifier, side: int) -> SwinClassifier:
    """``model`` for pictures of ``side`` pixels with the window of :data:`SIZES`, its weights unchanged but for the table."""
    window = SIZES[side]
    target = moved(model.config, (side, side), (window, window))
    larger = SwinClassifier(target)
    larger.load_state_dict(fit(model.state_dict(), model.config, target, "bicubic"))
    return accelerate(larger.eval())


def transfer(version: int, budget: Budget, seed: int) -> dict[int, float]:
    """Top-1 at each size of a network trained at the first."""
    model = train(lambda: SwinClassifier(configuration(version)), budget, seed)
    assert isinstance(model, SwinClassifier)
    return {side: top1(model if side == SIDE else grown(model, side), budget, side) for side in SIZES}


def run(budget: Budget, folder: Path = RESULTS) -> dict[str, Any]:
    found = over_seeds({name: lambda seed, v=version: transfer(v, budget, seed) for name, version in ARMS.items()}, budget)
    lost = {name: [at[28] - at[56] for at in seeds] for name, seeds in found.items()}
    v1, v2 = lost.values()
    lines = {name: [(side, sum(at[side] for at in seeds) / len(seeds)) for side in SIZES] for name, seeds in found.items()}
    chart = line_chart(Curve("Test top-1", lines, share=True, across="pixels"))
    return keep("window_growth", budget, {"windows": SIZES, "top1": found, "claims": [judged(CLAIM, v1, v2)]}, chart, folder)


if __name__ == "__main__":
    command_line(run, __doc__, PICTURES, SEEDS)
