"""What the kernels' derivatives are not: differentiable themselves, and computed for many gradients at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Answer = TypeVar("Answer")
MEND = (
    "Mend: differentiate a model that is not accelerated, as swinkit.create_model and swinkit.load return it, "
    "or set SWINKIT_KERNELS=0 in the environment before Python starts"
)


def first_derivative(backward: Callable[..., Answer]) -> Callable[..., Answer]:
    """``backward`` of a kernel, which raises :class:`RuntimeError` where its answer would be silently wrong, or would read no memory.

    torch's ``once_differentiable`` asks whether the gradient that comes wants one itself. That of a sum is a constant, and what
    depends on the model's input would be missing from a second derivative all the same.
    """

    @functools.wraps(backward)
    def refusing(ctx: Any, *gradients: Tensor) -> Answer:
        if torch.is_grad_enabled():
            raise RuntimeError(f"An accelerated model has no second derivative, which create_graph=True asks for. {MEND}")
        if any(map(torch._C._functorch.is_legacy_batchedtensor, gradients)):  # type: ignore[attr-defined]
            raise RuntimeError(
                "An accelerated model takes one gradient at a time, not a batch of them as is_grads_batched=True and vectorize=True "
                f"hand over. {MEND}"
            )
        return backward(ctx, *gradients)

    return refusing
