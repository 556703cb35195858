"""An engine that this machine cannot run is refused before it is built, or says why when it is."""

import sys

import pytest
import torch

from swinkit import create_model
from swinkit.errors import SwinkitError, UsageError
from swinkit.runtime import engines, kinds

SMALL = create_model("swin_nano", depths=(1,), num_heads=(1,)).eval()


def test_without_a_compiler_nothing_is_compiled_and_all_else_is_free(monkeypatch):
    monkeypatch.setattr(kinds, "compiler", lambda: None)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UsageError, match=r"compiled needs a C.. compiler.*Mend: install g"):
        engines.build(SMALL, engine="compiled", shape=(1, 3, 28, 28))
    kinds.check_engine("native")
    kinds.check_engine("auto")
    monkeypatch.setattr(sys, "platform", "win32")  # where torch takes a compiler that this does not find
    kinds.check_engine("compiled")


def test_a_compiler_that_torch_cannot_use_is_told_in_a_line(monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "false"))
    torch.compiler.reset()
    with pytest.raises(SwinkitError, match=r"could not compile the model: InvalidCxxCompiler.*Mend: name another"):
        engines.build(SMALL, engine="compiled", shape=(1, 3, 28, 28))
