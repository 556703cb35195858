"""``export`` and ``verify`` on the command line: what they print, their exit codes, and that verifying needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swinkit.cli.main import run
from swinkit.runtime.export.bundle import Bundle, write_bundle
from swinkit.runtime.export.golden import Golden

ROOT = Path(__file__).parents[3]
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from swinkit.cli.main import run; sys.exit(run(sys.argv[1:]))"


def test_verify_needs_no_torch(onnx_bundle: Bundle) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, "verify", str(onnx_bundle.path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert {check["runtime"] for check in checks} == {"onnxruntime", "openvino"}


def test_verify_ends_with_a_verdict_and_repeats_nothing(onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(onnx_bundle.path), "--runtime", "onnxruntime"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[-1].startswith(f"verified: the files are whole, and {onnx_bundle.path} answers here")
    assert sum("28 x 28" in line for line in [*lines, *printed.err.splitlines()]) == 1


def test_verify_ends_with_code_4_when_an_answer_differs(
    onnx_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    golden = onnx_bundle.golden
    wrong = Golden(golden.pictures, {size: logits + (size == (28, 28)) * 0.01 for size, logits in golden.logits.items()})
    (tmp_path / "wrong").mkdir()
    write_bundle(tmp_path / "wrong", onnx_bundle.manifest, onnx_bundle.files, wrong)
    assert run(["verify", str(tmp_path / "wrong"), "--runtime", "onnxruntime"]) == 4
    assert "at 1 of 7 sizes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--layout", "nchw"], "Add --with-preprocessing"),
        (["--int8"], "Add --calibrate DATA"),
        (["--int8", "--calibrate", "digits", "--to", "onnx"], "int8 graphs are made for OpenVINO"),
        (["--calibrate", "digits"], "are for --int8"),
        (["--to", "tensorrt"], "tensorrt"),
    ],
)
def test_what_does_not_fit_together_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "swin_nano.fashion_mnist", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_bundle_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(tmp_path)]) == 1
    assert "is no exported bundle" in capsys.readouterr().err
