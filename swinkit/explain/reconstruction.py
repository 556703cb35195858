"""What a network that was pre-trained without labels makes of a picture: original, masked, reconstructed, error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import Masking
from ..data.transforms import evaluation
from ..errors import UsageError
from ..model.simmim import SimMIM
from ..preprocessing import Preprocessing
from ..tasks import open_saved
from ..tasks.pretraining import Reconstruction, reconstruct, sample_masks
from ..weights.files import read_model
from ..weights.foreign import is_foreign
from ..weights.hub import locate


def load_painter(path: str | Path) -> tuple[SimMIM, Preprocessing]:
    """The network in a pre-training run or a SimMIM checkpoint, with what it painted hidden parts with, in evaluation mode.

    A checkpoint does not record its cells; they are as wide as its decoder's, as published. Raises :class:`UsageError` for a model
    that has nothing to paint with.
    """
    place = locate(path).path
    if is_foreign(place):
        saved = open_saved(path)
        config, masking, state, look = saved.config, Masking(cell=saved.config.strides[-1]), saved.state, saved.preprocessing
    else:
        file = read_model(place)
        config, masking, state, look = file.config, file.masking, file.state, file.preprocessing  # type: ignore[assignment]
    if masking is None or not any(name.startswith("reconstruction.") for name in state):
        raise UsageError(f"{path} paints nothing: it was not pre-trained by hiding parts. Mend: a run of swinkit pretrain")
    network = SimMIM(config, masking)
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    return network.eval(), look


def reconstructions(
    network: SimMIM, preprocessing: Preprocessing, picture: np.ndarray, seed: int = 0, count: int = 4, source: str = ""
) -> list[Reconstruction]:
    """``picture`` (H, W, C) with ``count`` masks, those of ``seed``, each painted anew by ``network``."""
    device: Any = next(network.parameters()).device
    image = evaluation(preprocessing)(picture)[None].to(device)
    mask = sample_masks((image.shape[2], image.shape[3]), network.masking, seed, 0, np.arange(count)).to(device)
    with torch.inference_mode():
        return reconstruct(network, image.expand(count, -1, -1, -1), mask, preprocessing, [source] * count)
