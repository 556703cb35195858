"""Training steps (:mod:`swinkit.study.training`) as subjects, for one network in several libraries."""

from __future__ import annotations

import contextlib
from typing import Any

import timm.models.swin_transformer  # noqa: F401  here as below, so that its memory is not taken for a network's
import torch
import torchvision.models.swin_transformer  # noqa: F401
import transformers.models.swin.modeling_swin  # noqa: F401

from swinkit.model.classifier import SwinClassifier
from swinkit.study.process import Subject
from swinkit.study.subjects import Inputs
from swinkit.study.training import stepper, stepping
from swinkit.variants import configure
from tests.peers.building import NETWORKS

from .peers import Logits


def ours(model: str, batch: int, size: tuple[int, int], precision: str, native: bool = True, **fields: Any) -> Subject:
    """swinkit, as `swinkit train` steps; without ``native`` the model as it is."""
    torch.manual_seed(0)
    config = configure(model, image_size=tuple(size), **fields)
    return stepping(SwinClassifier(config), batch, size, precision, native, library="swinkit")


def limited(gigabytes: float, **arguments: Any) -> Subject:
    """:func:`ours` in a process that cannot hold more than so many gigabytes, where the system can see to that."""
    with contextlib.suppress(ImportError):
        import resource

        limit = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return ours(**arguments)


def theirs(library: str, way: str, model: str, batch: int, size: tuple[int, int], precision: str, **fields: Any) -> Subject:
    """The same architecture in ``library``, ``way`` "eager" or "compiled", without stochastic depth like ours."""
    torch.manual_seed(0)
    config = configure(model, image_size=tuple(size), **fields)
    net = Logits(NETWORKS[library](config)).train()
    for module in net.modules():
        if isinstance(getattr(module, "drop_prob", None), float):
            module.drop_prob = 0.0  # type: ignore[assignment]
    forward = torch.compile(net) if way == "compiled" else net
    pictures = Inputs((batch, config.in_channels, *size))
    about = {"library": library, "way": way, "precision": precision}
    return Subject(stepper(net, forward, pictures, config.num_classes, precision), about, aside=pictures.noise.nbytes)
