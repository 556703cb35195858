"""``swinkit doctor``: its report is JSON, agrees with pyproject.toml, names the remedy, and needs no torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from swinkit import machine
from swinkit.cli import doctor
from swinkit.cli.main import run
from swinkit.weights.hub import hub_settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> tuple[str, ...]:
    return tuple(re.split(r"[\[<>=!~ ;]", requirement)[0] for requirement in requirements)


def test_core_packages_are_those_of_pyproject() -> None:
    assert names(PROJECT["dependencies"]) == doctor.CORE


def test_extras_are_those_of_pyproject() -> None:
    extras = {extra: names(requirements) for extra, requirements in PROJECT["optional-dependencies"].items()}
    for extra, entry in doctor.EXTRAS.items():
        assert extras[extra] == entry.packages
    assert set(extras) - set(doctor.EXTRAS) == {"dev", "docs", "all"}
    assert set(re.findall(r"\w+", PROJECT["optional-dependencies"]["all"][0])) - {"swinkit"} == set(doctor.EXTRAS)


def test_json_is_json_and_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert report["device"]["auto"] in {"cpu", "cuda", "mps"}
    assert report["processor"]["usable_cores"] >= 1
    assert all(place["free_gib"] > 0 for place in report["disk"].values())
    assert shown.err.startswith("Next: swinkit ")


def test_quiet_says_nothing_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_doctor_imports_no_torch() -> None:
    code = "import sys; from swinkit.cli.main import run; run(['doctor']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, timeout=60).returncode == 0


def test_a_missing_package_fails_and_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "pyarrow" else "1.0")
    assert run(["doctor"]) == 1
    assert "pip install pyarrow" in capsys.readouterr().out


def test_a_missing_extra_is_no_failure_and_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "fastapi" else "1.0")
    assert run(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "pip install 'swinkit[serve]'" in shown
    assert "swinkit[export]'" not in shown


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx2 avx512f amx_bf16", True), ("fpu avx2 avx512f avx512_vnni", False), ("", None)]
)
def test_bfloat16_is_read_from_the_processor(flags: str, expected: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "read", lambda path: f"model name\t: X\nflags\t\t: {flags}\n" if flags else "")
    assert doctor.examine()["processor"]["bfloat16"] is expected


def test_the_hubs_cache_and_free_memory_are_those_that_loading_and_training_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine, "available_memory", lambda: 3 * 2**29)
    report = doctor.examine()
    assert report["disk"]["cache"]["path"] == hub_settings()["cache_dir"] == str(tmp_path / "huggingface" / "hub")
    assert report["memory_gib"]["available"] == 1.5


def test_a_gpu_that_this_torch_cannot_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: ["NVIDIA X, 24000 MiB"])
    monkeypatch.setattr(machine, "version", lambda name: "2.14.1+cpu")
    assert any("without the GPU" in line for line in doctor.remedies(doctor.examine()))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners and modes here")
def test_kernels_that_others_may_write_are_told_with_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert doctor.examine()["untrusted_kernels"] == []  # nothing is there yet, and asking makes nothing
    folder = tmp_path / "swinkit" / "kernels"
    assert not folder.exists()
    folder.mkdir(parents=True)
    folder.chmod(0o775)
    assert run(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert f"not loaded from {folder}, which others may write" in shown
    assert f"chmod go-w {folder}  # others may write it" in shown
    folder.chmod(0o755)
    assert run(["doctor"]) == 0
    assert "chmod" not in capsys.readouterr().out
