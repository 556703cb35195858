"""What a tour is about: one picture, as a model receives it, and that model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.bundled import open_bundled
from ...data.decode import decode
from ...data.rgb import as_rgb
from ...data.transforms import evaluation, visible
from ...errors import UsageError
from ...preprocessing import Preprocessing
from ...tasks import create_model, described, load
from ...weights.named import is_variant

BUNDLED_MODEL = "swin_nano.fashion_mnist"
BUNDLED_PICTURE = "fashion-mini", 0  # an ankle boot, whose outline survives 28 pixels
LARGE = 64  # pixels; a picture larger than this is none that the bundled model was trained for
GEOMETRY = "swin_t"
SEED = 0


@dataclass(frozen=True, eq=False)
class Subject:
    """``image`` (1, C, H, W) is what the model receives, ``shown`` (H, W, 3) uint8 the same before normalisation.

    ``source`` is the picture before any of that: a file, or an array (H, W, C).
    """

    model: Any = field(repr=False)
    source: Path | np.ndarray = field(repr=False)
    image: Tensor = field(repr=False)
    shown: np.ndarray = field(repr=False)
    model_name: str
    picture_name: str
    trained: bool
    truth: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[2], self.image.shape[3]

    @property
    def tiny(self) -> bool:
        return max(self.size) <= LARGE


def open_subject(picture: str | Path | None = None, model: str | None = None) -> Subject:
    """Read ``picture`` and ``model``, and prepare one for the other.

    Without a picture it is a bundled one. Without a model it is the bundled swin_nano, which is trained; for a picture larger than
    64 pixels, which that model was not trained for, it is Swin-T with fresh weights, whose sizes and costs are true and whose
    preferences mean nothing. A variant's name, too, means fresh weights. Raises what :func:`swinkit.load` and the decoder raise.
    """
    source, name, truth = bundled_picture() if picture is None else (Path(picture), Path(picture).name, None)
    if model is None:
        large = picture is not None and max(decode(source).shape[:2]) > LARGE
        model = GEOMETRY if large else BUNDLED_MODEL
    network, trained = open_model(model)
    preprocessing = network.preprocessing
    image = evaluation(preprocessing)(decode(source, preprocessing.channels))[None]
    return Subject(
        network, source, image, as_rgb(visible(image[0], preprocessing).movedim(0, -1).numpy()), model, name, trained, truth
    )


def bundled_picture() -> tuple[np.ndarray, str, str]:
    """The picture that comes with the package: itself (H, W, C), its name, and what it shows."""
    name, index = BUNDLED_PICTURE
    collection = open_bundled(name)
    return collection.read(index), f"{name}, #{index}", collection.classes[collection.samples[index].labels[0]]


def open_model(name: str) -> tuple[Any, bool]:
    """The model called ``name`` in evaluation mode, and whether its weights were learned."""
    if not is_variant(name):
        network = load(name)
        if network.config.num_stages < 2 or network.config.depths[0] < 2:
            raise UsageError(f"{name}: the tour needs two stages or more and a pair of blocks in the first.")
        return network, True
    with torch.random.fork_rng([]):
        torch.manual_seed(SEED)
        network = create_model(name).eval()
    preprocessing = Preprocessing(size=network.config.image_size, resize="squash")
    return described(network, (), preprocessing), False
