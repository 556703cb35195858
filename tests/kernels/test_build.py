"""Every kernel compiles where there is a compiler, and leaves the thread that calls it as it was."""

import copy
import os
import platform
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from swinkit import create_model
from swinkit.kernels import build, mlp
from swinkit.kernels.accelerate import accelerate
from swinkit.machine import compiler

SOURCES = sorted(path.stem for path in Path(build.__file__).parent.glob("*.cpp"))
compiles = pytest.mark.skipif(
    compiler() is None or sys.platform == "win32" or os.environ.get("SWINKIT_KERNELS") == "0",
    reason="no compiler, or kernels are switched off",
)


@compiles
@pytest.mark.parametrize("name", SOURCES)
def test_every_kernel_compiles(name):
    """One that does not would otherwise only look like a machine that has no use for it, and its tests would be skipped."""
    found, reason = build.library(name)
    assert found is not None, reason


@compiles
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="elsewhere kernels leave such numbers as they are")
def test_numbers_too_small_for_a_full_mantissa_are_zero_within_a_kernel_and_not_behind_it():
    threads, tiny = torch.get_num_threads(), torch.full((4096,), 1e-40)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert mlp.gelu(tiny).eq(0).all()
            assert (tiny * 0.5).gt(0).all()  # by torch, in the same threads
    finally:
        torch.set_num_threads(threads)


def test_kernels_stand_aside_where_operators_are_watched_or_replaced():
    """A counter of FLOPs sees no kernel, and tensors without numbers have no memory that one could read."""
    plain, images = create_model("swin_nano"), torch.randn(2, 3, 28, 28)
    fast = accelerate(copy.deepcopy(plain))
    totals = []
    for model in (plain, fast):
        with FlopCounterMode(display=False) as counter:
            model(images)
        totals.append(counter.get_total_flops())
    assert totals[0] == totals[1] > 0
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert fast(mode.from_tensor(images)).shape == plain(images).shape


def test_another_default_device_does_not_matter():
    model, images = accelerate(create_model("swin_nano")), torch.randn(2, 3, 28, 28)
    expected = model(images)
    with torch.device("meta"):
        assert torch.equal(model(images), expected)
