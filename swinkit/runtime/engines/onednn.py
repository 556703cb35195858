"""The native engine with its linear layers by oneDNN, which knows processors that the kernel does not."""

from __future__ import annotations

from typing import Any

from . import native


def build(model: Any, precision: str, shape: tuple[int, ...]) -> Any:
    """A callable from pictures to (logits, pooled) for pictures of any size; ``shape`` is the usual one."""
    return native.build(model, precision, shape, own=False)
