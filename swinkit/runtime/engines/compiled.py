"""torch.compile with frozen weights, for one shape: takes a minute to build."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

from ...errors import SwinkitError
from .fixed import folded


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures of ``shape`` to (logits, pooled).

    A graph is for tensors made in inference mode or for others, so that both kinds would compile it, and only the first with frozen
    weights. It is for the others, whatever the caller has. Raises :class:`SwinkitError` where torch fails to compile.
    """
    from torch._dynamo import config as tracing
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor import config as generating

    with torch.inference_mode(False), torch.no_grad():
        network = folded(model, shape, getattr(torch, precision))
        network.compile(fullgraph=True, dynamic=False)
        try:
            # torch counts as one function what all networks of this class are compiled from, and would give up at the ninth
            with (
                tracing.patch(recompile_limit=sys.maxsize, accumulated_recompile_limit=sys.maxsize),
                generating.patch(freezing=True),
            ):
                network(torch.zeros(shape))
        except TorchDynamoException as fault:
            raise SwinkitError(
                f"torch could not compile the model: {str(fault).splitlines()[0]}. Mend: name another compiler by CXX, or take the engine native"
            ) from fault

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(False), torch.no_grad():
            # pixels in another order would ask for a further graph
            images = images.contiguous()
            return network(images.clone() if images.is_inference() else images)

    return run
