"""A mistyped name or place is refused at once: with the code that it has everywhere, before torch is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from swinkit.cli.given import source_of
from swinkit.errors import UsageError

ROOT = Path(__file__).parents[2]
# what the command line is, and whether torch came in on the way to its refusal
CODE = "import sys; from swinkit.cli.main import run; code = run(sys.argv[1:]); print('torch' in sys.modules); sys.exit(code)"
MODEL = "swin_nano.fashion_mnist"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with one.png, an ``empty`` folder and a ``full`` one, and a ``run`` whose pictures are gone."""
    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("data: moved")
    (tmp_path / "run" / "data.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("train nowhere", 3, "nowhere does not exist"),
        ("train empty", 3, "no layout recognised"),
        ("train digits --format picture", 2, "No layout is called 'picture'"),
        ("train digits --model nomodel", 2, "nomodel"),
        ("train digits --set leraning=1", 2, "No such setting 'leraning'"),
        ("train digits --out full", 2, "nothing is ever overwritten"),
        ("train digits --set devices=2", 2, "one device"),
        ("train digits --set fold=7", 2, "one of folds, which are not given"),
        ("train . --format pictures --out empty", 2, "lies among the pictures"),
        ("train nowhere --folds 3", 3, "nowhere does not exist"),
        ("train --resume full", 2, "not a run that can be resumed"),
        ("pretrain nowhere", 3, "nowhere does not exist"),
        ("pretrain digits --probe nowhere", 3, "nowhere does not exist"),
        ("pretrain digits --model nomodel", 2, "nomodel"),
        ("pretrain --resume full", 2, "not a run that can be resumed"),
        ("evaluate nomodel digits", 2, "no model at nomodel"),
        (f"evaluate {MODEL}", 2, "a model without a run"),
        ("evaluate run", 3, "moved does not exist"),
        (f"evaluate {MODEL} nowhere", 3, "nowhere does not exist"),
        (f"evaluate {MODEL} digits --out full", 2, "not overwritten"),
        ("predict nomodel one.png", 2, "no model at nomodel"),
        (f"predict {MODEL} nowhere.png no*match", 3, "None of 2 inputs could be answered"),
        (f"explain {MODEL} on.png", 3, "on.png: no such file. Did you mean 'one.png'?"),
        ("tour on.png", 3, "on.png: no such file. Did you mean 'one.png'?"),
        ("tour full", 3, "full: is a folder, not a regular file. Expected the file of a picture"),
        (f"predict {MODEL} one.png --engine magic", 2, "no engine 'magic'"),
        (f"predict {MODEL} one.png --out one.png", 2, "does not say its format"),
        ("explain nomodel one.png", 2, "no model at nomodel"),
        (f"explain {MODEL} nowhere.png", 3, "nowhere.png: no such file"),
        (f"explain {MODEL} full", 3, "full: is a folder"),
        ("tour nowhere.png", 3, "nowhere.png: no such file"),
        ("tour --model nomodel", 2, "nomodel"),
        ("tour --simmim nomodel", 2, "nomodel"),
        ("tour --out one.png", 2, "not overwritten"),
        ("bench nomodel", 2, "nomodel"),
        ("bench swin_t --out full", 2, "not overwritten"),
        ("bench swin_t --engine magic", 2, "no engine 'magic'"),
        ("compare swin_t nomodel", 2, "nomodel"),
        ("compare --engine all", 2, "no engine 'all'"),
        ("compare --out full", 2, "not overwritten"),
        ("convert nomodel out --to timm", 2, "no model at nomodel"),
        ("inspect nomodel", 2, "no model at nomodel"),
        ("export nomodel", 2, "no model at nomodel"),
        (f"export {MODEL} --out full", 2, "not overwritten"),
        (f"export {MODEL} --int8 --calibrate nowhere", 3, "nowhere does not exist"),
        (f"export {MODEL} --int8 --calibrate digits --max-class-drop 5", 2, "a share from 0 to 1"),
    ],
)
def test_what_a_look_at_the_disk_tells_is_told_before_torch_is_imported(words: str, code: int, said: str, place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words.split()], capture_output=True, text=True, cwd=place, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    *rows, torch = done.stdout.splitlines()
    assert (done.returncode, torch) == (code, "False"), done.stderr
    assert len(rows) == (2 if words.startswith("predict") and code == 3 else 0)  # predict gives every input its row
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_runs_below_a_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "fold-1" / "model").mkdir(parents=True)
    (tmp_path / "fold-1" / "model" / "model.safetensors").touch()
    with pytest.raises(UsageError, match=r"no run itself. Below it are runs: .*fold-1"):
        source_of(str(tmp_path), None, None)
