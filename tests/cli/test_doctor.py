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
from swinkit.kernels import identity
from swinkit.runtime import choices
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
    monkeypatch.setattr(doctor, "version", lambda name: None if name in ("captum", "fastapi") else "1.0")
    assert run(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "pip install 'swinkit[explain]'" in shown
    assert "swinkit[export]'" not in shown
    # no verb uses it yet
    assert "swinkit[serve]" not in shown
    assert "reserved for a REST service, not needed yet" in shown


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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SWINKIT_KERNELS", raising=False)
    folder = tmp_path / "swinkit" / "kernels"
    folder.mkdir(parents=True, mode=0o700)
    return folder


def line(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["doctor", "-q"]) == 0
    return next(text for text in capsys.readouterr().out.splitlines() if text.startswith(name))


def test_what_auto_remembers_is_told_with_its_file(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none remembered" in line("engines", capsys)
    for key, name in (("a", "native"), ("b", "openvino"), ("c", "native")):
        choices.remember(key, name)
    assert line("engines", capsys).endswith(
        f"remembered by --engine auto: native 2, openvino 1; to measure anew, remove {cache.parent / 'engines.json'}"
    )
    choices.place().unlink()
    assert "none remembered" in line("engines", capsys)


def test_kernels_that_are_switched_off_are_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWINKIT_KERNELS", "0")
    assert line("kernels", capsys).endswith("none, switched off by SWINKIT_KERNELS=0")


@pytest.mark.skipif(sys.platform == "win32" or machine.compiler() is None, reason="no compiler for kernels")
def test_kernels_are_told_as_they_are_and_none_is_built(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(r"0 of \d+ built by .*; the others are compiled when they are first used$", line("kernels", capsys))
    stem = identity.cache_stem(identity.source("gelu"), str(machine.compiler()))
    (cache / f"{stem}-0123.so").touch(mode=0o600)
    note = cache / f"{identity.cache_stem(identity.source('stage'), str(machine.compiler()))}.txt"
    note.write_text("stage.cpp takes longer than 120 s to compile", encoding="utf-8")
    kernels = doctor.examine()["kernels"]
    assert (kernels["built"], kernels["failed"]) == (["gelu"], {"stage": note.read_text("utf-8")})
    shown = line("kernels", capsys)
    assert "1 of" in shown
    assert "stage failed, so torch computes it: stage.cpp takes longer" in shown
    assert len(list(cache.iterdir())) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="kernels are not built there")
def test_a_compiler_that_fails_is_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = cache.parent / "broken"
    broken.write_text("#!/bin/sh\necho unknown option -fopenmp >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    assert line("kernels", capsys).endswith("since the compiler fails: unknown option -fopenmp")


def test_another_processor_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ("model name\t: EPYC 7763\nflags\t\t: avx2\n", "model name\t: EPYC 7543\nflags\t\t: avx2\n", "CPU part\t: 0xd40\n")
    found = set()
    for text in texts:
        monkeypatch.setattr(identity.Path, "read_text", lambda path, encoding, text=text: text)
        found.add(identity.processor_identity())
    assert len(found) == 3
