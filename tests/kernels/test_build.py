"""Every kernel compiles where there is a compiler, and leaves the thread that calls it as it was."""

import os
import platform
from pathlib import Path

import pytest
import torch

from swinkit.kernels import build, mlp
from swinkit.machine import compiler

SOURCES = sorted(path.stem for path in Path(build.__file__).parent.glob("*.cpp"))
compiles = pytest.mark.skipif(
    compiler() is None or os.environ.get("SWINKIT_KERNELS") == "0", reason="no compiler, or kernels are switched off"
)


@compiles
@pytest.mark.parametrize("name", SOURCES)
def test_every_kernel_compiles(name):
    """One that does not would otherwise only look like a machine that has no use for it, and its tests would be skipped."""
    found, reason = build.library(name)
    assert found is not None, reason


@compiles
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors take no longer for such numbers")
def test_numbers_too_small_for_a_full_mantissa_are_zero_within_a_kernel_and_not_behind_it():
    threads, tiny = torch.get_num_threads(), torch.full((4096,), 1e-40)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert mlp.gelu(tiny).eq(0).all()
            assert (tiny * 0.5).gt(0).all()  # by torch, in the same threads
    finally:
        torch.set_num_threads(threads)
