"""A verb says what it is about to do, and makes folders, only once it has what it needs."""

import pytest
from PIL import Image

from swinkit.cli.main import run


@pytest.fixture
def beside_a_picture(tmp_path, monkeypatch):
    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "export nomodel",
        "export nomodel --to openvino --int8 --calibrate digits",
        "bench nomodel",
        "compare nomodel",
        "convert nomodel out --to timm",
        "evaluate nomodel digits",
        "explain nomodel one.png",
        "explain nomodel one.png --reconstruct",
        "inspect nomodel",
        "predict nomodel one.png",
        "pretrain digits --model nomodel",
        "tour one.png --model nomodel --out new/tour.html",
        "train digits --model nomodel",
        "verify nomodel",
    ],
)
def test_without_its_model_a_verb_says_that_alone_and_leaves_nothing(words, beside_a_picture, capsys):
    assert run(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("swinkit: ")
    assert "nomodel" in line
    assert [path.name for path in beside_a_picture.iterdir()] == ["one.png"]


def test_export_announces_itself_when_nothing_is_missing(beside_a_picture, capsys):
    (beside_a_picture / "there").write_text("a file", encoding="utf-8")
    for out, said in (("there", "is there already"), ("there/below", "Could not write into there")):
        assert run(["export", "swin_nano.fashion_mnist", "--out", out]) in (1, 2)
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
