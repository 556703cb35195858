"""What ``swinkit tour`` says while it works, and what it proposes afterwards; the page itself is tested in tests/explain/tour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import swinkit
from swinkit.cli.main import run
from swinkit.explain.tour.pages import write_tour
from swinkit.preprocessing import Preprocessing
from swinkit.weights.files import save_model

PAINTER = "swin_nano.simmim_fashion_mnist"


@pytest.fixture
def toured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``swinkit tour`` with the words given, its chapters skipped; returns the exit code."""

    def write(path: Path, *given: Any) -> Path:
        *_, progress = given
        progress(15, 19, "SimMIM")
        progress(16, 19, "measuring Swin and ViT")
        path.write_text("page", "utf-8")
        return path

    monkeypatch.setattr("swinkit.explain.tour.pages.write_tour", write)
    monkeypatch.chdir(tmp_path)
    Image.new("L", (28, 28)).save("small.png")
    Image.new("L", (28, 28)).save("-s.png")
    backbone = swinkit.create_model("swin_nano", num_classes=0)
    save_model(backbone, tmp_path / "backbone", preprocessing=Preprocessing(size=(28, 28)))
    Image.new("RGB", (200, 160)).save("large.png")
    return lambda *words: run(["tour", *(["--"] if words and words[0].startswith("-s") else []), *words])


@pytest.mark.parametrize(
    ("words", "following"),
    [
        ([], "tour photo.jpg"),
        (["--model", "swin_t"], "tour photo.jpg --model swin_t"),
        (["small.png"], "explain swin_nano.fashion_mnist small.png"),
        (["small.png", "--model", PAINTER], f"explain {PAINTER} small.png --reconstruct"),
        (["small.png", "--model", "backbone"], "train photos/ --init backbone"),
        (["-s.png"], "explain swin_nano.fashion_mnist ./-s.png"),
        (["large.png"], "train photos/"),
        (["large.png", "--model", "swin_t"], "train photos/"),
    ],
)
def test_what_comes_next_is_not_what_was_done(
    words: list[str], following: str, toured, capsys: pytest.CaptureFixture[str]
) -> None:
    assert toured(*words) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"Next: swinkit {following}"


def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(toured, capsys: pytest.CaptureFixture[str]) -> None:
    assert toured("--out", "small.png/page.html") == 2
    printed = capsys.readouterr().err
    assert "small.png is no folder that can be written to. Mend: choose another --out" in printed
    assert "Computing" not in printed


def test_an_interrupted_tour_leaves_no_folder(toured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("swinkit.explain.tour.pages.gather", interrupted)
    monkeypatch.setattr("swinkit.explain.tour.pages.write_tour", write_tour)
    assert toured("--out", "new/sub/page.html") == 130
    assert not (tmp_path / "new").exists()


def test_on_a_terminal_a_bar_says_which_chapter_is_computed(toured, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert toured("--out", "elsewhere.html") == 0
    assert "16/19" not in capsys.readouterr().err
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any stream for a terminal
    assert toured("--out", "quiet.html", "-q") == 0
    assert "16/19" not in capsys.readouterr().err
    assert toured("--out", "shown.html") == 0
    shown = capsys.readouterr().err
    assert "16/19" in shown


def test_what_takes_long_is_told_where_there_is_no_bar_too(toured, capsys: pytest.CaptureFixture[str]) -> None:
    assert toured("--out", "timed.html") == 0
    told = capsys.readouterr().err
    assert "most of the time is measuring, which --repeats 0 leaves out.\n17/19 measuring Swin and ViT\n" in told
    for words in (["--repeats", "0"], ["-q"]):
        assert toured("--out", f"{words[0]}.html", *words) == 0
        assert "measuring" not in capsys.readouterr().err
