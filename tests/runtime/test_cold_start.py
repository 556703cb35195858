"""A single prediction imports no more than it needs: seconds of the six that it may take."""

import os
import subprocess
import sys
from pathlib import Path

from .pictures import picture

UNNEEDED = (
    "torch._dynamo",
    "sympy",
    "torchvision",
    "torchmetrics",
    "lightning_fabric",
    "torch.utils.tensorboard",
    "pyarrow",
    "sklearn",
)

ASK = """
import sys
from swinkit.cli.main import run
assert run(["predict", *sys.argv[1:], "-q"]) == 0
print(*sys.modules, file=sys.stderr)
"""


def test_one_prediction_imports_nothing_that_it_does_not_use(model_folder, tmp_path):
    picture(0).save(tmp_path / "picture.png")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    arguments = [sys.executable, "-c", ASK, str(model_folder), str(tmp_path / "picture.png")]
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    assert set(UNNEEDED) & set(ended.stderr.split()) == set()
