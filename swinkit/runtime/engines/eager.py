"""The model itself, by torch: what every other engine is measured against and answers like."""

from __future__ import annotations

import threading
from typing import Any

from torch import Tensor, nn

from ...devices import dtype_of
from ...kernels.accelerate import apart


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures to (logits, pooled) for pictures of any size."""
    dtype = dtype_of(precision)
    network = apart(model).eval().to(dtype)

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        return ask(network, images.to(dtype))

    return run


def ask(network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """What ``network`` answers for ``images``, called as a whole, so that hooks at it and a ``forward`` of its own count; and the pooled
    embeddings (B, C) that its head was given. Where the head was called otherwise than once, with one embedding a picture, ``network.pooled`` is asked."""
    network = getattr(network, "_orig_mod", network)  # a compiled one, whose graph could not be heard in
    call = network._call_impl if getattr(network, "_compiled_call_impl", None) else network
    asking, given = threading.get_ident(), []

    def hear(head: nn.Module, entering: tuple[Any, ...]) -> None:
        if threading.get_ident() == asking:
            given.append(entering)

    hearing = network.head.register_forward_pre_hook(hear, prepend=True)
    try:
        logits = call(images)
    finally:
        hearing.remove()
    match given:
        case [(Tensor() as pooled,)] if pooled.ndim == 2 and len(pooled) == len(images):
            return logits, pooled
    return logits, network.pooled(images)
