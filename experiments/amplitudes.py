"""Do activations grow with depth? The norm before each layer (V1) against the norm after it (V2), nothing else changed.

swin_nano with twelve blocks in its second stage, trained; then the root mean square of what each block hands on, over test
pictures. The network with norms after starts its branches at zero, as published. Swin V2, figure 2 and section 3.2: with pre-norm
amplitudes accumulate from block to block, with res-post-norm they stay mild.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from swinkit.data.transforms import evaluation
from swinkit.model.backbone import initialise
from swinkit.model.block import Block, post_norm
from swinkit.model.classifier import SwinClassifier
from swinkit.report.plots import Curve, line_chart

from .mechanism import (
    RESULTS,
    SIDE,
    Budget,
    Claim,
    command_line,
    configuration,
    fashion,
    judged,
    keep,
    over_seeds,
    part,
    preprocessing,
    top1,
    train,
)

PICTURES = 24_000  # seen in training by each run, unless told otherwise
SEEDS = 3  # runs of each arm, likewise
DEPTHS = (2, 12, 2)
CLAIM = Claim(
    "the logarithm of the growth along stage 2 is larger with pre-norm than with post-norm", "Swin V2, section 3.2, figure 2"
)


def pre() -> SwinClassifier:
    return SwinClassifier(configuration(depths=DEPTHS))


def post() -> SwinClassifier:
    model = pre()
    for module in model.modules():
        if isinstance(module, Block):
            module.branch = post_norm
            initialise(module)
    return model


@torch.inference_mode()
def amplitudes(model: nn.Module, images: Tensor) -> list[float]:
    """Root mean square of what enters the first block and of every block's output, one after the other."""
    found: list[float] = []
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    hooks = [blocks[0].register_forward_pre_hook(lambda module, inputs: found.append(rms(inputs[0])))]
    hooks += [block.register_forward_hook(lambda module, inputs, output: found.append(rms(output))) for block in blocks]
    model(images)
    for hook in hooks:
        hook.remove()
    return found


def rms(x: Tensor) -> float:
    return float(x.float().square().mean().sqrt())


def measured(build: Any, budget: Budget, seed: int) -> dict[str, Any]:
    model, collection = train(build, budget, seed), fashion()
    images = evaluation(preprocessing(SIDE)).batch(collection.pixels[part(collection, "test")[:200]])  # type: ignore[index]
    return {"amplitudes": [round(value, 4) for value in amplitudes(model, images)], "top1": top1(model, budget)}


def growth(found: list[float]) -> float:
    """ln of the last over the first block's amplitude in stage 2."""
    first, last = 1 + DEPTHS[0], DEPTHS[0] + DEPTHS[1]  # entry 0 is what comes in
    return math.log(found[last] / found[first])


def run(budget: Budget, folder: Path = RESULTS) -> dict[str, Any]:
    arms = {"pre-norm": pre, "post-norm": post}
    found = over_seeds({name: lambda seed, build=build: measured(build, budget, seed) for name, build in arms.items()}, budget)
    grew = {name: [growth(one["amplitudes"]) for one in seeds] for name, seeds in found.items()}
    lines = {
        name: [(float(block), sum(values) / len(values)) for block, values in enumerate(zip(*(one["amplitudes"] for one in seeds), strict=True))]
        for name, seeds in found.items()
    }  # fmt: skip
    chart = line_chart(Curve("Root mean square of activations", lines, across="block"))
    result = {
        "depths": DEPTHS,
        "runs": found,
        "log_growth": grew,
        "claims": [judged(CLAIM, grew["pre-norm"], grew["post-norm"])],
    }
    return keep("amplitudes", budget, result, chart, folder)


if __name__ == "__main__":
    command_line(run, __doc__, PICTURES, SEEDS)
