"""``export`` and ``verify`` on the command line: what they print, their exit codes, and that verifying needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from PIL import Image

from swinkit.cli.main import run
from swinkit.runtime.export.bundle import Bundle, write_bundle
from swinkit.runtime.export.golden import Golden

from .test_bundle import replace_file

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
    printed = capsys.readouterr()
    assert "in 1 of 7 checks" in printed.err
    assert "verified" not in printed.out
    assert run(["verify", str(tmp_path / "wrong"), "--runtime", "onnxruntime", "--json"]) == 4
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [check["size"] for check in checks if check["error"] > onnx_bundle.manifest.tolerance] == [[28, 28]]


def test_a_graph_that_a_runtime_does_not_take_is_told(
    onnx_bundle: Bundle, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that was exported for a later version of the runtime than the one here."""
    graph = onnx.load_from_string(onnx_bundle.files["model.onnx"])
    graph.opset_import[0].version = 99
    replace_file(copied, "model.onnx", graph.SerializeToString())
    assert run(["verify", str(copied), "--runtime", "onnxruntime"]) == 4
    printed = capsys.readouterr()
    assert "no answer" in printed.out
    assert "in 7 of 7 checks" in printed.err
    Image.new("L", (28, 28), 90).save(tmp_path / "a.png")
    assert run(["predict", str(copied), str(tmp_path / "a.png")]) == 1
    said = capsys.readouterr().err
    assert "does not take the graph of" in said
    assert "fault of swinkit" not in said


@pytest.mark.parametrize("option", [["--engine", "openvino"], ["--device", "cuda"], ["--precision", "bfloat16"]])
def test_a_bundle_answers_with_its_graph_and_says_so(
    option: list[str], onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (28, 28), 90).save(tmp_path / "a.png")
    assert run(["predict", str(onnx_bundle.path), str(tmp_path / "a.png"), *option]) == 2
    assert "Mend: leave" in capsys.readouterr().err
    assert run(["predict", str(onnx_bundle.path), str(tmp_path / "a.png"), "--engine", "auto", "--device", "cpu"]) == 0


def test_a_bundle_is_judged_where_it_answers(onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(onnx_bundle.path), "digits", "--device", "cuda"]) == 2
    assert "answers on the CPU" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--layout", "nchw"], "Add --with-preprocessing"),
        (["--int8"], "Add --calibrate DATA"),
        (["--int8", "--calibrate", "digits", "--to", "onnx"], "int8 graphs are made for OpenVINO"),
        (["--calibrate", "digits"], "are for --int8"),
        (["--min-speedup", "2", "--max-class-drop", "0"], "--max-class-drop, --min-speedup: bars for --int8"),
        (["--int8", "--calibrate", "digits", "--min-agreement", "99"], "99 % is 0.99, got 99. Mend: for instance 0.99"),
        (["--to", "tensorrt"], "tensorrt"),
    ],
)
def test_what_does_not_fit_together_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "swin_nano.fashion_mnist", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_bundle_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(tmp_path)]) == 1
    assert "is no exported bundle" in capsys.readouterr().err
