"""A bundle without swinkit: the lines that docs/export.md shows, run in a process that can import neither it nor torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swinkit import Predictor
from swinkit.data.bundled import ASSETS
from swinkit.runtime.export import exporting, graphs
from swinkit.runtime.export.bundle import Bundle, describe
from swinkit.runtime.export.exporting import export
from swinkit.runtime.export.sessions import openvino_session

from ...test_examples import blocks

BARE = "import sys\nfor name in ('swinkit', 'torch', 'openvino_telemetry'):\n    sys.modules[name] = None\n"


@pytest.fixture
def place(plain: Any, onnx_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with bundles and a photograph under the names that the document uses."""
    shutil.copytree(onnx_bundle.path, tmp_path / "shoes-onnx")
    monkeypatch.setattr(exporting, "trace", lambda *_: None)
    monkeypatch.setattr(graphs, "to_onnx", lambda *_: onnx_bundle.files)
    export(plain, tmp_path / "shoes-openvino", "openvino")
    shutil.copy(ASSETS / "photographs" / "chelsea.jpg", tmp_path / "photo.jpg")
    return tmp_path


@pytest.mark.parametrize("resize", ["shortest", "squash", "none"])
def test_the_lines_of_the_document_answer_as_swinkit_does(resize: str, place: Path, onnx_bundle: Bundle) -> None:
    manifest = onnx_bundle.manifest
    preprocessing = manifest.preprocessing.model_copy(update={"resize": resize})
    describe(place / "shoes-onnx", manifest.model_copy(update={"preprocessing": preprocessing, "temperature": 2.0}))
    in_onnxruntime, in_openvino = (code for code in blocks("docs/export.md", "python") if "swinkit" not in code)
    told = "print(json.dumps([shares.tolist(), images.tolist(), first.tolist(), logits.tolist()]))"
    code = f"{BARE}{in_onnxruntime}\nfirst = logits\n{in_openvino}\n{told}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=place, timeout=120)
    assert done.returncode == 0, done.stderr
    said, *_, figures = done.stdout.splitlines()
    shares, images, first, logits = (np.array(values) for values in json.loads(figures))
    wanted = Predictor(place / "shoes-onnx")(place / "photo.jpg")
    assert said.split()[0] == wanted.label
    assert np.abs(shares - wanted.probabilities).max() < 0.01
    assert np.abs(first - logits).max() < manifest.tolerance
    assert np.abs(openvino_session(onnx_bundle)(images.astype(np.float32)) - logits).max() < manifest.tolerance
