"""Muon that turns all matrices of one shape at once.

torch.optim.Muon turns them one by one, which for small networks is mostly the overhead of hundreds of small products.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..devices import computes_bfloat16

ELEMENTS_AT_ONCE = 2**18  # products of larger matrices are as fast one by one


class BatchedMuon(torch.optim.Muon):
    """Muon (Jordan et al., 2024) with AdamW's root mean square (Liu et al., arXiv 2502.16982), as ``torch.optim.Muon`` with
    ``adjust_lr_fn="match_rms_adamw"`` computes it, up to rounding; the state is the same, so that checkpoints fit both.

    Products are bfloat16 where the device multiplies it, float32 elsewhere.
    """

    def __init__(self, params: Any, lr: float, weight_decay: float) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        shapes: dict[tuple[int, ...], list[tuple[Tensor, dict[str, Any]]]] = defaultdict(list)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes[tuple(sorted(weight.shape))].append((weight, group))
        for (short, long), members in shapes.items():
            size = max(1, ELEMENTS_AT_ONCE // (short * long))
            for start in range(0, len(members), size):
                self._turn(members[start : start + size])
        return loss

    def _turn(self, members: list[tuple[Tensor, dict[str, Any]]]) -> None:
        """Step of weights of one shape, tall or wide, each with the rates of its group."""
        updates = [wide(self._momentum(weight, group)) for weight, group in members]
        first, group = members[0]
        every = torch.stack(updates) if len(updates) > 1 else updates[0]
        turned = orthogonal(every, group["ns_coefficients"], group["ns_steps"], group["eps"]).to(first.dtype)
        ratio = 0.2 * math.sqrt(max(first.shape))
        for (weight, group), update in zip(members, turned if len(updates) > 1 else [turned], strict=True):
            wide(weight).mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-ratio * group["lr"])

    def _momentum(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight.grad)
        buffer = state["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
        return weight.grad.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer


def wide(matrix: Tensor) -> Tensor:
    """``matrix`` or its transpose, whichever has no more rows than columns."""
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT


def orthogonal(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """``matrices`` ([N,] rows, columns), rows <= columns, each with all its singular values brought near 1 by Newton-Schulz iterations.

    ``coefficients`` a, b, c are those of X <- P X, P = a + b X X' + c (X X')², with X' the transpose.
    """
    half = computes_bfloat16(matrices.device)
    x = matrices.to(torch.bfloat16 if half else torch.float32)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    rows, columns = x.shape[-2:]
    return iterated(x, coefficients, steps) if half or columns < 2 * rows else iterated_on_gram(x, coefficients, steps)


def iterated(x: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """``steps`` times X <- P X."""
    a, b, c = coefficients
    add = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(steps):
        gram = x @ x.mT
        x = add(x, add(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def iterated_on_gram(x: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """The same by X X' alone, which each step turns into P X X' P, and the product of all P: five ninths of the work where columns
    are four times the rows. It squares singular values, for which bfloat16 has too few digits."""
    a, b, c = coefficients
    add = torch.addmm if x.ndim == 2 else torch.baddbmm
    gram, product = x @ x.mT, None
    for step in range(steps):
        factor = add(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor if product is None else factor @ product
        if step < steps - 1:
            gram = factor @ gram @ factor
    return x if product is None else product @ x
