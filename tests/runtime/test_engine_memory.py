"""What building an engine takes beside it: no two copies of the model at once, and what is free afterwards goes back."""

from __future__ import annotations

import platform
import subprocess
import sys
import weakref

import pytest

from swinkit.kernels.attention import KERNEL
from swinkit.runtime import choices, engines
from swinkit.runtime.engines import choice
from swinkit.tasks import create_model

SHAPE, NAMES = (1, 3, 64, 64), ["eager", "native"]

SCRIPT = """
import torch
from swinkit import create_model, memory
from swinkit.runtime import engines
warm = engines.build(create_model("swin_nano", in_channels=3), engine="native", shape=(1, 3, 28, 28))
model = create_model("swin_t")
before = memory.resident()
run = engines.build(model, engine="native")
print((memory.resident() - before) / 1e6)
"""


def test_the_copy_that_tells_the_truth_is_gone_before_an_engine_makes_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(choices, "cache_folder", lambda: tmp_path / "kernels")
    model = create_model("swin_nano", in_channels=3)
    alive, beside = weakref.WeakSet(), []

    def run(*given):
        beside.append(len(alive))
        alive.add(one := engines.Run(*given))
        return one

    choices.remember(choice.identity(model, "float32", SHAPE, NAMES), "native")
    assert choice.fastest(model, "float32", SHAPE, NAMES, run).name == "native"
    assert beside == [0, 0]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or not KERNEL.available, reason="no native engine, or another C library")
def test_an_engine_holds_its_weights_and_not_what_building_took():
    """Swin-T's packed weights are 113 MB, some of it where there was room. A copy of the model and float64 of each layer would be as much again, and more."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert 80 < float(done.stdout) < 180
