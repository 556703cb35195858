"""What is said where memory does not suffice to train."""

from __future__ import annotations

from ..errors import SwinkitError


def too_large(fault: BaseException) -> SwinkitError:
    """The error for a network of which not even one picture fits."""
    return SwinkitError(
        f"Out of memory with a single picture at once ({fault}). Mend: a smaller --model or --image-size, or "
        "--set swin.gradient_checkpointing=true"
    )


def half_changed(fault: BaseException, step: int) -> SwinkitError:
    """The error for weights of which only some may have changed: neither taking the step again nor saving them would be right."""
    return SwinkitError(
        f"Out of memory at step {step} while the weights changed ({fault}). This step is not saved. Mend: free memory, or a smaller "
        "--model, and go on from the last save with --resume"
    )
