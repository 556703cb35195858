"""What OpenVINO leaves behind in a process must not kill it."""

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

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
