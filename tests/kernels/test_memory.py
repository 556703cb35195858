"""Memory that is freed stays, so that the next step meets no fresh pages."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
if sys.argv[1] == "keep":
    from swinkit.kernels.memory import keep_freed_memory
    print(keep_freed_memory())
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    before = faults()
    torch.ones(50_000_000)
    last = faults() - before
print(last)
"""


def run(how: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the switch")
def test_no_fresh_pages():
    said, faults = run("keep")
    assert said.startswith("freed memory is kept")
    assert int(faults) < 100 < int(run("not")[-1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_what_is_free_is_given_back_once_when_asked() -> None:
    """200 MB in blocks below one that stays."""
    script = """
import torch
from swinkit import memory
from swinkit.kernels.memory import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
blocks = [torch.ones(250_000) for _ in range(200)]
above = torch.ones(250_000)
full = memory.resident()
del blocks
kept = memory.resident()
give_back_freed_memory()
print((full - kept) // 10**6, (kept - memory.resident()) // 10**6)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    kept, given = map(int, done.stdout.split())
    assert kept < 10
    assert given > 180


def test_switched_off():
    assert run("keep", SWINKIT_KERNELS="0")[0] == "switched off by SWINKIT_KERNELS=0"
