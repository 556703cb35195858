"""Whether a call may use a kernel at all: on the CPU, where nothing watches, transforms or replaces what it would pass over."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._python_dispatch import _get_current_dispatch_mode

from ..model.attention import DotProduct, Linear, ScaledCosine, WindowAttention
from ..model.block import DropPath, LayerNorm, Mlp
from ..model.windows import traced

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
OWN = (nn.Linear, nn.GELU, LayerNorm, DotProduct, ScaledCosine, Linear, WindowAttention, Mlp, DropPath)


def eager_on_cpu(x: Tensor) -> bool:
    """Whether any kernel may be called on ``x``: on the CPU, while no graph is recorded, under no transform of torch.func, no derivative
    forwards, and no mode that watches or replaces operators, such as a counter of FLOPs or tensors without numbers."""
    if x.device.type != "cpu" or traced() or forward_ad._current_level >= 0:
        return False
    return not (torch._C._functorch.peek_interpreter_stack() or _get_current_dispatch_mode())  # type: ignore[attr-defined]


@functools.cache
def _methods(kind: type) -> frozenset[str]:
    return frozenset(name for name in dir(kind) if callable(getattr(kind, name, None)))


def patched(module: nn.Module) -> bool:
    """Whether ``module`` computes something by a function of its own in place of one of its class's methods."""
    return not _methods(type(module)).isdisjoint(vars(module))  # type: ignore[arg-type]  # a class is hashable


def untouched(*modules: nn.Module) -> bool:
    """Whether ``modules``, which a kernel computes without calling them, are the model's own: no adapter stands in their place, none
    computes by another formula, and no hook would go unheard."""
    return not _has_any_global_hook() and all(
        type(one) in OWN
        and not patched(one)
        and getattr(one, "approximate", "none") == "none"  # GELU's error function, not its approximation by tanh
        and not any(getattr(one, hooks) for hooks in HOOKS)
        for one in modules
    )


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The type in which a linear layer would compute with ``x``; autocast leaves float64 as it is."""
    autocast = torch.is_autocast_enabled("cpu") and x.dtype != torch.float64
    return torch.get_autocast_dtype("cpu") if autocast else x.dtype
