"""One graph for every picture size, for torch.compile and torch.export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

GRAPH_LIMIT = 256  # graphs of one process


@contextmanager
def any_size() -> Iterator[None]:
    """While a graph is traced or chosen: sizes stay unknown, even where one is 1 or two are alike.

    By itself torch asks both of every size it meets, and compiles anew where an answer changes: for square pictures and
    others, and for maps that one window covers and others.
    """
    from torch.fx.experimental import _config

    with _config.patch(  # type: ignore[attr-defined]
        backed_size_oblivious=True, use_duck_shape=False
    ):
        yield


def compiled(model: nn.Module, **options: Any) -> Callable[[Tensor], Any]:
    """``torch.compile`` of ``model`` into one graph that serves pictures of all sizes; ``options`` go to torch.compile.

    For a batch of one torch still makes a graph of its own, since it takes a first axis of 1 for a constant.
    """
    graph = torch.compile(model, fullgraph=True, dynamic=True, **options)

    def run(images: Tensor) -> Any:
        # networks of all architectures share torch's limit, which is for one function that meets ever new sizes
        with any_size(), torch._dynamo.config.patch(recompile_limit=GRAPH_LIMIT):
            return graph(images)

    return run
