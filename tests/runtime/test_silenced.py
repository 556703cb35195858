"""What OpenVINO leaves behind in a process must not kill it."""

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

from swinkit.runtime.silenced import openvino

SCRIPT = """
import gc, signal
import numpy as np
from swinkit.runtime.silenced import openvino
ov = openvino()
def program():
    value = ov.opset13.parameter([1, 4], np.float32)
    return ov.Core().compile_model(ov.Model([ov.opset13.relu(value)], [value], "relu"), "CPU")
first, second = program(), program()
del first
gc.collect()
del second  # not the first to come and the last to go
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no stacks of signal handlers")
def test_a_signal_after_openvino_reaches_its_handler():
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip()) == (0, "handled"), ended.stderr


def test_there_is_one_core_and_it_still_has_a_class():
    ov = openvino()
    assert ov.Core() is ov.Core()
    assert isinstance(ov.Core(), ov.Core)

    class Own(ov.Core):
        pass

    assert Own() is not ov.Core()
    assert Own().available_devices == ov.Core().available_devices
