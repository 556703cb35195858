"""What a network that was pre-trained without labels makes of a picture: original, masked, reconstructed, error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config import Masking
from ..data.transforms import evaluation
from ..errors import UsageError
from ..model.simmim import SimMIM
from ..model.windows import Size
from ..preprocessing import Preprocessing
from ..tasks import open_saved
from ..tasks.pretraining import Reconstruction, reconstruct, sample_masks
from ..weights.files import read_model
from ..weights.foreign import is_foreign
from ..weights.hub import locate
from ..weights.saved import painted_normalise


class Painter(NamedTuple):
    """A network in evaluation mode with what it paints hidden parts with; ``learned_from`` is what its file says of that, or nothing."""

    network: SimMIM
    preprocessing: Preprocessing
    learned_from: dict[str, Any]

    def sees(self, picture: np.ndarray) -> Size:
        """(height, width) in pixels at which the network is shown ``picture`` (H, W, C)."""
        return self.preprocessing.cropped(*picture.shape[:2])[2:]


def find_painter(path: str | Path) -> Painter | None:
    """The network in a pre-training run or a SimMIM checkpoint; None for a model that has nothing to paint with.

    A checkpoint does not record its cells and targets; they are as published, cells as wide as its decoder's.
    """
    place = locate(path).path
    if is_foreign(place):
        saved = open_saved(path)
        config, state, look = saved.config, saved.state, saved.preprocessing
        masking = Masking(cell=config.strides[-1], normalise=painted_normalise(saved))
        learned_from: dict[str, Any] = {}
    else:
        file = read_model(place)
        config, masking, state, look = file.config, file.masking, file.state, file.preprocessing  # type: ignore[assignment]
        learned_from = file.metadata.get("learned_from", {})
    if masking is None or not any(name.startswith("reconstruction.") for name in state):
        return None
    network = SimMIM(config, masking)
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    return Painter(network.eval(), look, learned_from)


def load_painter(path: str | Path) -> Painter:
    """As :func:`find_painter`; raises :class:`UsageError` for a model that has nothing to paint with."""
    painter = find_painter(path)
    if painter is None:
        raise UsageError(f"{path} paints nothing: it was not pre-trained by hiding parts. Mend: a run of swinkit pretrain")
    return painter


def reconstructions(
    painter: Painter, picture: np.ndarray, seed: int = 0, count: int = 4, source: str = ""
) -> list[Reconstruction]:
    """``picture`` (H, W, C) with ``count`` masks, those of ``seed``, each painted anew."""
    mask = sample_masks(painter.sees(picture), painter.network.masking, seed, 0, np.arange(count))
    return repainted(painter, picture, mask, source)


def repainted(painter: Painter, picture: np.ndarray, mask: Tensor, source: str = "") -> list[Reconstruction]:
    """``picture`` (H, W, C) painted anew under each of the masks (T, R, S)."""
    network, preprocessing, _ = painter
    device: Any = next(network.parameters()).device
    image, count = evaluation(preprocessing)(picture)[None].to(device), len(mask)
    with torch.inference_mode():
        return reconstruct(network, image.expand(count, -1, -1, -1), mask.to(device), preprocessing, [source] * count)
