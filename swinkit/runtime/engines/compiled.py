"""torch.compile with frozen weights, for one shape: takes a minute to build."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...devices import dtype_of
from ...errors import SwinkitError
from .fixed import folded


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures of ``shape`` to (logits, pooled).

    A graph is for tensors made in inference mode or for others, so that both kinds would compile it, and only the first with frozen
    weights. It is for the others, whatever the caller has. Raises :class:`SwinkitError` where torch fails to compile.
    """
    from torch._dynamo.exc import TorchDynamoException

    with _compiling():
        network = folded(model, shape, dtype_of(precision))
        network.compile(fullgraph=True, dynamic=False)
        try:
            network(torch.zeros(shape))
        except TorchDynamoException as fault:
            raise SwinkitError(
                f"torch could not compile the model: {str(fault).splitlines()[0]}. Mend: name another compiler by CXX, or take the engine native"
            ) from fault

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        # another number of threads asks for a further graph, and so would pixels in another order or with other strides
        with _compiling():
            images = images.reshape(-1).view(images.shape)
            return network(images.clone() if images.is_inference() else images)

    return run


@contextmanager
def _compiling() -> Iterator[None]:
    """Where graphs are made. torch counts as one function what all networks of this class are compiled from, and would give up at the ninth."""
    from torch._dynamo import config as tracing
    from torch._inductor import config as generating

    with (
        torch.inference_mode(False), torch.no_grad(), generating.patch(freezing=True),
        tracing.patch(recompile_limit=sys.maxsize, accumulated_recompile_limit=sys.maxsize),
    ):  # fmt: skip
        yield
