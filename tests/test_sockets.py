"""No verb opens an outbound socket unasked: each runs with every connection refused and recorded, and cut off the network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy
import pytest
from PIL import Image

from swinkit.cli.main import VERBS

ROOT = Path(__file__).parents[1]

# verb -> its arguments; run in this order in one folder that holds `photos`
CALLS: dict[str, list[str]] = {
    "train": ["train", "photos", "--out", "run", "--epochs", "1"],
    "pretrain": ["pretrain", "photos", "--out", "pretrained", "--epochs", "1", "--probe", "photos", "--no-verdict"],
    "evaluate": ["evaluate", "run", "photos", "--out", "judged"],
    "predict": ["predict", "run", "photos"],
    "export": ["export", "run", "--to", "openvino", "--out", "bundle"],
    "verify": ["verify", "bundle"],
    "explain": ["explain", "run", "photos/dark/0.png", "--out", "why"],
    "data": ["data", "photos"],
    "inspect": ["inspect", "run/model"],
    "convert": ["convert", "run/model", "converted.pth", "--to", "openmmlab"],
    "tour": ["tour", "photos/dark/0.png", "--model", "run", "--repeats", "0", "--out", "tour.html"],
    "bench": ["bench", "run", "--rounds", "1", "--batch-size", "1", "--precision", "float32", "--engine", "plain"],
    "compare": ["compare", "swin_nano", "deit_ti", "--image-size", "32", "--rounds", "1"],
    "demo": ["demo", "--epochs", "1", "--out", "demo"],
    "doctor": ["doctor"],
}


def isolation() -> list[str]:
    """A command that runs another one in a network namespace without any interface, where the system allows it."""
    command = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        return []
    return command


ISOLATION = isolation()


def run_guarded(arguments: Sequence[str], folder: Path) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run Python with ``arguments`` in ``folder``, and return it with what it tried to reach."""
    log = folder / "sockets.log"
    log.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "guard"), str(ROOT)]),
        "SWINKIT_SOCKET_LOG": str(log),
        "OMP_NUM_THREADS": "1",
    }
    command = [*ISOLATION, sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=240)
    return done, log.read_text(encoding="utf-8") if log.exists() else ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos``, two classes of twelve small pictures; the verbs leave their results beside it."""
    folder = tmp_path_factory.mktemp("guarded")
    generator = numpy.random.default_rng(0)
    for label in ("dark", "light"):
        (folder / "photos" / label).mkdir(parents=True)
        for index in range(12):
            pixels = generator.integers(0, 100, (28, 28, 3), dtype=numpy.uint8) + (label == "light") * 150
            Image.fromarray(pixels.astype(numpy.uint8)).save(folder / "photos" / label / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "socket.getaddrinfo('example.org', 80)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
    ],
)
def test_the_guard_sees_an_attempt(attempt: str, tmp_path: Path) -> None:
    done, reached = run_guarded(["-c", f"import socket; {attempt}"], tmp_path)
    assert done.returncode == 1
    assert "PermissionError: outbound" in done.stderr
    assert reached


def test_every_verb_has_a_call() -> None:
    assert set(CALLS) == set(VERBS)


@pytest.mark.timeout(900)
def test_no_verb_reaches_out(folder: Path) -> None:
    for verb, arguments in CALLS.items():
        done, reached = run_guarded(["-m", "swinkit", *arguments], folder)
        assert reached == "", f"{verb} tried to reach {reached}"
        assert done.returncode == 0, f"{verb}: {done.stderr}"
