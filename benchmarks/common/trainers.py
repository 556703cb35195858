"""Training steps as subjects: forward in bfloat16 autocast, cross-entropy, backward, AdamW, for one network in several libraries."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import timm.models.swin_transformer  # noqa: F401  here as below, so that its memory is not taken for a network's
import torch
import torch.nn.functional as F
import torchvision.models.swin_transformer  # noqa: F401
import transformers.models.swin.modeling_swin  # noqa: F401
from torch import Tensor, nn

from swinkit.kernels.accelerate import accelerate
from swinkit.model.classifier import SwinClassifier
from swinkit.study.process import Subject
from swinkit.study.subjects import Inputs
from swinkit.variants import configure
from tests.peers.building import NETWORKS

from .peers import Logits


def stepper(
    net: nn.Module, forward: Callable[[Tensor], Tensor], pictures: Callable[[int], Tensor], classes: int, precision: str
) -> Callable[[int], Any]:
    """One step on the i-th batch. The fused AdamW is everybody's, so that it decides nothing."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-5, weight_decay=0.05, fused=True)

    def step(index: int) -> None:
        images = pictures(index)
        labels = torch.arange(len(images)) % classes
        with torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext():
            logits = forward(images)
        F.cross_entropy(logits.float(), labels).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def ours(model: str, batch: int, size: tuple[int, int], precision: str, native: bool = True, **fields: Any) -> Subject:
    """swinkit, as `swinkit train` steps; without ``native`` the model as it is."""
    torch.manual_seed(0)
    config = configure(model, image_size=tuple(size), **fields)
    net: Any = SwinClassifier(config).train()
    if native:
        accelerate(net)
    pictures = Inputs((batch, config.in_channels, *size))
    about = {"library": "swinkit", "precision": precision}
    return Subject(stepper(net, net, pictures, config.num_classes, precision), about, aside=pictures.noise.nbytes)


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
