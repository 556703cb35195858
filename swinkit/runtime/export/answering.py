"""An exported bundle in the place of a model: what predicts and judges with a network does so with the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...config import height_and_width
from ...devices import find_device
from ...errors import SwinkitError, UsageError, WeightsError
from ...tasks import load
from ...weights.hub import Located
from ..engines import say_once
from .bundle import Bundle, is_bundle, open_bundle
from .golden import finer
from .sessions import RUNTIMES, Run, first_line, runtimes_for, version_of


class Answering(nn.Module):
    """Normalised pictures (B, C, H, W) to logits (B, K), computed by ``bundle``'s graph in its first installed runtime, on the CPU.

    It has the attributes that loading leaves on a model. Raises :class:`WeightsError` for a graph that the runtime does not take.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        manifest = bundle.manifest
        self.bundle, self.config = bundle, manifest.swin
        self.classes, self.multi_label = manifest.classes, manifest.multi_label
        self.preprocessing = manifest.preprocessing
        self.metadata = {"temperature": manifest.temperature, "learned_from": manifest.learned_from}
        self.task, self.run = manifest.task, _session(bundle)
        self.head = nn.Identity()
        # its bytes tell one bundle from another in fingerprints, and say where the graph computes
        self.identity = nn.Parameter(torch.frombuffer(bytearray(self._digest()), dtype=torch.uint8), requires_grad=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """The bundle goes along, and its graph is opened where it answers: a runtime's session cannot travel."""
        return type(self), (self.bundle,), {"preprocessing": self.preprocessing, "training": self.training}

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pooled(images))

    def pooled(self, images: Tensor) -> Tensor:
        """Logits, of which ``head`` makes logits: a graph gives no embedding away."""
        manifest, given = self.bundle.manifest, images.numpy()
        if manifest.input.dtype == "uint8" and finer(given, manifest.preprocessing):
            say_once(
                f"{self.bundle.path} takes pictures of 8 bits, and some of these have more, which are rounded away. Mend: export the model "
                "again without --with-preprocessing"
            )
        return torch.from_numpy(self.run(manifest.input.from_normalised(given, manifest.preprocessing)))

    def _digest(self) -> bytes:
        return b"".join(bytes.fromhex(entry.sha256) for entry in self.bundle.manifest.files.values())


def _session(bundle: Bundle) -> Run:
    name = runtimes_for(bundle.manifest.target)[0]
    try:
        return RUNTIMES[name].session(bundle)
    except SwinkitError:
        raise
    except Exception as fault:  # whatever a runtime raises for a graph that it does not take
        raise WeightsError(
            f"{name} {version_of(name)} does not take the graph of {bundle.path}: {first_line(fault)}. It was made by swinkit "
            f"{bundle.manifest.swinkit}. Mend: export the model again with the runtime that is installed here, or install the one of then"
        ) from None


def load_any(model: str | Path | Located, image_size: int | tuple[int, int] | None = None) -> Any:
    """What :func:`swinkit.load` takes, or an exported bundle, which serves every size as it is; pictures are scaled to ``image_size``."""
    path = model.path if isinstance(model, Located) else model
    if not is_bundle(path):
        return load(model, image_size=image_size)
    graph = Answering(open_bundle(path))
    if image_size is not None:
        graph.preprocessing = graph.preprocessing.model_copy(update={"size": height_and_width(image_size)})
    return graph


def place_of(model: nn.Module, device: str) -> torch.device:
    """Where ``model`` computes when ``device`` is asked for; raises :class:`UsageError` where it cannot."""
    if not isinstance(model, Answering):
        return find_device(device)
    if device not in ("auto", "cpu"):
        raise UsageError(
            f"{model.bundle.path} is an exported graph, which answers on the CPU, not on {device}. Mend: leave --device out"
        )
    return torch.device("cpu")


def refuse_embeddings(model: Any) -> None:
    """Raise :class:`UsageError` for a model that has none."""
    if isinstance(model, Answering):
        raise UsageError(f"{model.bundle.path} is an exported graph, which gives no embeddings. Mend: name the model itself")
