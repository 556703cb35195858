"""Every kernel compiles where there is a compiler, and leaves the thread that calls it as it was."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from swinkit.kernels import build, mlp
from swinkit.kernels.identity import FLAGS, compiler_command
from swinkit.machine import compiler

X86 = platform.machine() in ("x86_64", "AMD64")
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


def test_a_compilers_path_may_have_a_space_and_the_environments_may_have_options(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    assert compiler_command("/opt/my tools/g++")[:2] == ["/opt/my tools/g++", *FLAGS[:1]]
    monkeypatch.setenv("CXX", "'/opt/my tools/g++' -m64")
    assert compiler_command("/opt/my tools/g++")[:3] == ["/opt/my tools/g++", "-m64", *FLAGS[:1]]


@compiles
@pytest.mark.skipif(not X86, reason="elsewhere kernels leave such numbers as they are")
def test_numbers_too_small_for_a_full_mantissa_are_zero_within_a_kernel_and_not_behind_it():
    threads, tiny = torch.get_num_threads(), torch.full((4096,), 1e-40)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert mlp.gelu(tiny).eq(0).all()
            assert (tiny * 0.5).gt(0).all()  # by torch, in the same threads
    finally:
        torch.set_num_threads(threads)


LESSER = """
import copy, sys
import torch
from swinkit import create_model
from swinkit.kernels import attention, norm
from swinkit.kernels.accelerate import accelerate

assert attention.KERNEL.available, attention.KERNEL.reason
torch.manual_seed(0)
for variant in ("swin_nano", "swinv2_nano"):
    plain = create_model(variant)
    fast, images = accelerate(copy.deepcopy(plain)), torch.randn(2, 3, 28, 28)
    for model in (plain, fast):
        model(images).square().sum().backward()
    assert (plain(images) - fast(images)).abs().max() < 1e-5 * plain(images).abs().max()
    for ours, theirs in zip(fast.parameters(), plain.parameters()):
        assert (ours.grad - theirs.grad).abs().max() <= 1e-3 * theirs.grad.abs().max() + 1e-7
"""


@compiles
@pytest.mark.skipif(not X86, reason="these instruction sets are x86's")
@pytest.mark.parametrize("without", ["-mno-avx512f", "-mno-avx2", "-D__builtin_shufflevector=not_in_gcc_11"])
def test_kernels_are_right_for_lesser_processors_and_older_compilers_than_these(without):
    """Other tests meet only the code for the machine that they run on."""
    environment = {**os.environ, "CXX": f"{compiler()} {without}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", LESSER], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
