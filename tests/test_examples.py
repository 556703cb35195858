"""Every example in README and docs runs: Python blocks on tiny stand-ins, commands checked against the verbs, cheap ones run."""

from __future__ import annotations

import functools
import glob
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from PIL import Image

import swinkit
from swinkit.cli.main import VERBS, cli, run
from swinkit.errors import GateError

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]
ELSEWHERE = {"docs/export.md"}  # exporting takes a minute; tests/runtime/export does it
CHEAP = {"data", "inspect", "predict", "doctor"}


def blocks(page: str, language: str) -> list[str]:
    """Fenced blocks of ``language``, those inside lists too."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in code.splitlines()) for indent, code in found]


def commands(page: str) -> list[list[str]]:
    """The words of each ``$ swinkit …`` line, without comments and without what it is piped into."""
    lines = [line.removeprefix("$ ") for code in blocks(page, "console") for line in code.replace("\\\n", " ").splitlines()]
    found = [shlex.split(line.split("|")[-1], comments=True) for line in lines if re.search(r"(^|\| )swinkit ", line)]
    return [words[1:] for words in found if words[:1] == ["swinkit"]]


ALL = [(page, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), ALL, ids=[f"{page}: {shlex.join(words)}" for page, words in ALL])
def test_a_command_that_is_shown_can_be_typed(page: str, words: list[str]) -> None:
    if words[0].startswith("-"):
        return
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"{page}: {words[0]} is none of {', '.join(VERBS)}"
    known = {option: parameter for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-") and word not in ("-", "--", "--help"):
            assert word in known, f"{page}: {words[0]} has no {word}"
            if isinstance(known[word].type, click.Choice):
                known[word].type.convert(value, known[word], None)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures under the names that the examples use, and a run of one epoch."""
    folder = tmp_path_factory.mktemp("examples")
    generator = np.random.default_rng(0)
    places = [
        f"{root}/{label}/{index}.png" for root in ("photos", "new-photos") for label in ("dark", "light") for index in range(12)
    ]
    for place in [*places, "new/boot.jpg", "new/one.jpg", "photo.jpg"]:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 100, (28, 28, 3)) + 150 * ("light" in place)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    swinkit.train.fit(str(folder / "photos"), out=str(folder / "runs/photos"), epochs=1)
    for name in ("shoes", "classify/shoes", "classify/photos"):
        shutil.copytree(folder / "runs/photos", folder / "runs" / name)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the place where one works."""
    place = tmp_path / "work"
    shutil.copytree(prepared, place)
    monkeypatch.chdir(place)
    brief = functools.partial(swinkit.train.fit, epochs=1)
    monkeypatch.setattr(swinkit.train, "fit", lambda *a, **k: brief(*a, **{**k, "epochs": 1}))
    learn = swinkit.train.pretrain
    monkeypatch.setattr(swinkit.train, "pretrain", lambda *a, **k: learn(*a, **{**k, "epochs": 1, "verdict": False}))
    return place


PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", PYTHON)
def test_python_that_is_shown_runs(page: str, folder: Path) -> None:
    if page in ELSEWHERE:
        for code in blocks(page, "python"):
            compile(code, page, "exec")
        return
    if "fit(" in "".join(blocks(page, "python")):
        for run_folder in ("runs/photos", "runs/classify/photos"):
            shutil.rmtree(folder / run_folder)
    known: dict[str, Any] = {
        "swinkit": swinkit, "torch": torch, "images": torch.rand(1, 3, 64, 64), "paths": ["photo.jpg"],
        "model": swinkit.create_model("swin_nano", num_classes=2),
    }  # fmt: skip
    try:
        for code in blocks(page, "python"):
            exec(compile(code, page, "exec"), known)
    except GateError:
        assert "raises GateError" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if any(words[0] in CHEAP for words in commands(page))])
def test_cheap_commands_run(page: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = 0
    for words in commands(page):
        spread = [part for word in words for part in (sorted(glob.glob(word)) if "*" in word and "**" not in word else [word])]
        spread = ["runs/photos" if word == "MODEL" else word for word in spread]
        asks_for_what_is_here = all(
            Path(word).exists() for word in spread[1:] if "*" not in word and ("/" in word or word.endswith(".pth"))
        )
        if words[0] in CHEAP and "-" not in spread and asks_for_what_is_here:
            assert run([*spread, "-q"]) == 0, capsys.readouterr().err
            ran += 1
    assert ran, f"{page}: of its cheap commands none names what is here, so none ran"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    from sphinx.cmd.build import build_main

    assert build_main(["-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path / "site")]) == 0
    command_line = (tmp_path / "site/reference/command-line.html").read_text(encoding="utf-8")
    assert all(f"swinkit {verb}" in command_line for verb in VERBS)
    assert "(B, nW, N, C)" in (tmp_path / "site/reference/python.html").read_text(encoding="utf-8")


def test_russian_readme_has_the_blocks_of_the_english_one() -> None:
    def fenced(name: str) -> list[str]:
        return re.findall(r"^```\w*\n.*?^```", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    english, russian = fenced("README.md"), fenced("README.ru.md")
    assert [uncommented(block) for block in russian] == [uncommented(block) for block in english]


def uncommented(block: str) -> list[str]:
    """Lines without their comments, and without the captions below a drawing, which are translated."""
    return [re.sub(r"\s+#.*| {2,}\S.*", "", line).rstrip() for line in block.splitlines() if not re.match(r" \S", line)]
