"""``swinkit explain`` from the command line: the page, the pictures, the figures, and what cannot be meant."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from markupsafe import escape
from PIL import Image

import swinkit
from swinkit.cli.explain import command
from swinkit.cli.main import run
from swinkit.cli.pages.explaining import safe_name
from swinkit.cli.pages.verdicts import judged, meanings
from tests.explain.models import small


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small ``model`` of classes with awkward names, and a wide ``picture.png``."""
    folder = tmp_path_factory.mktemp("explain")
    model = small(2)
    model.classes = ("a/b <script>", "bee", "..", "dog")
    swinkit.save(model, folder / "model")
    pixels = np.random.default_rng(0).integers(0, 255, (50, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    return folder


@pytest.fixture(scope="module")
def explained(place: Path) -> tuple[Path, dict]:
    arguments = [str(place / "model"), str(place / "picture.png"), "--out", str(place / "why"), "--json", "-q"]
    done = CliRunner().invoke(
        command, [*arguments, "--class", "a/b <script>", "--class", "2", "--class", "0", "--atlas", "--window", "5"]
    )
    assert done.exit_code == 0, done.output + str(done.exception)
    return place / "why", json.loads(done.stdout)


def test_every_file_that_is_named_is_there(explained: tuple[Path, dict]) -> None:
    folder, found = explained
    assert {path.name for path in folder.iterdir()} == {*found["files"], "explain.html", "explanation.json"}
    assert json.loads((folder / "explanation.json").read_text("utf-8"))["maps"] == found["maps"]
    for name in found["files"]:
        with Image.open(folder / name) as image:
            image.verify()


def test_two_classes_of_one_name_have_a_map_and_a_verdict_each(place: Path) -> None:
    model = swinkit.load(place / "model")
    model.classes = ("crane", "crane", "crane", "dog")
    swinkit.save(model, place / "cranes")
    out = place / "of-cranes"
    arguments = [str(place / "cranes"), str(place / "picture.png"), "--class", "0", "--class", "2", "--method", "cam"]
    done = CliRunner().invoke(command, [*arguments, "--out", str(out), "--json", "-q"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    first, second = found["maps"][:2]
    assert [first["of_class"], second["of_class"]] == ["crane (0)", "crane (2)"]
    assert first["file"] != second["file"]
    assert {path.name for path in out.iterdir()} == {*found["files"], "explain.html", "explanation.json"}
    assert first["trust"]["curves"]["random"] != second["trust"]["curves"]["random"]


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_class_for_which_nothing_speaks_says_so_and_names_no_place(
    multi_label: bool, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small(1, num_classes=2)
    with torch.no_grad():  # every token is nearly the norm's bias, so all speak against the second class
        model.norm.weight.mul_(0.01)
        model.head.weight.copy_(torch.stack((model.norm.bias, -model.norm.bias)))
        model.head.bias.copy_(torch.tensor([0.0, 9.0]))
    model.classes, model.multi_label = ("<ant>", "<bee>"), multi_label
    swinkit.save(model, tmp_path / "model")
    arguments = ["explain", str(tmp_path / "model"), str(place / "picture.png"), "--class", "1", "--class", "0"]
    assert run([*arguments, "--method", "cam", "--out", str(tmp_path / "why")]) == 0
    found = json.loads((tmp_path / "why" / "explanation.json").read_text("utf-8"))
    empty, marked, attention = found["maps"][:3]
    assert [empty["of_class"], marked["of_class"]] == ["<bee>", "<ant>"]
    assert empty["peak"] is empty["trust"] is None
    assert marked["peak"]
    assert marked["trust"]
    left, top, right, bottom = attention["window"][0]
    assert left <= marked["peak"][0] <= right
    assert top <= marked["peak"][1] <= bottom
    page = (tmp_path / "why" / "explain.html").read_text("utf-8")
    assert "No token of this picture speaks for &lt;bee&gt;, so the map is empty" in page
    assert "<bee>: the map is empty, since no token of this picture speaks for <bee>" in found["notes"][0]
    assert re.search(r": <bee> +empty: nothing speaks for this class", capsys.readouterr().out)
    alone = [*arguments[:-2], "--method", "cam-tokens", "--no-trust", "--out", str(tmp_path / "alone")]
    assert run(alone) == 0
    only, attention = json.loads((tmp_path / "alone" / "explanation.json").read_text("utf-8"))["maps"][:2]
    assert only["peak"] is None
    left, top, right, bottom = attention["window"][0]
    assert left <= 40 <= right  # the middle of the picture
    assert top <= 25 <= bottom


def test_rollout_is_of_no_class(explained: tuple[Path, dict]) -> None:
    folder, found = explained
    (flow,) = [view for view in found["maps"] if view["file"].startswith("rollout")]
    assert (flow["title"], flow["file"], flow["checked_against"]) == ("Attention rollout", "rollout.png", "a/b <script>")
    assert "of_class" not in flow
    assert "The share of a/b &lt;script&gt;" in (folder / "explain.html").read_text("utf-8")


def test_every_map_has_its_checks_and_failures_are_on_its_face(explained: tuple[Path, dict]) -> None:
    folder, found = explained
    page = (folder / "explain.html").read_text("utf-8")
    assert len(found["maps"]) == 3 + 2 + 2  # two classes, one of them named twice, and rollout, two blocks, two stages
    for view in found["maps"]:
        assert [check["name"] for check in view["trust"]["checks"]] == [
            "deletion and insertion",
            "weight randomisation",
            "noise",
        ]
        with Image.open(folder / view["file"]) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        red = (pixels[..., 0] > 150) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)
        assert (red[-8:].mean() > 0.8) == (not view["trust"]["passed"])
    failed = sum(not view["trust"]["passed"] for view in found["maps"])
    assert len(re.findall("not to be trusted, fails", page)) == failed


def test_the_page_is_one_inert_file(explained: tuple[Path, dict]) -> None:
    page = (explained[0] / "explain.html").read_text("utf-8")
    assert "<script" not in page
    assert "a/b &lt;script&gt;" in page
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert "swinkit explain" in page


def test_the_page_is_about_the_class_that_was_named(explained: tuple[Path, dict]) -> None:
    folder, found = explained
    assert found["answers"][0]["class"] != "a/b <script>"
    assert "<h1>Why a/b &lt;script&gt;?</h1>" in (folder / "explain.html").read_text("utf-8")


def test_figures_in_pixels_say_of_which_picture(explained: tuple[Path, dict]) -> None:
    folder, found = explained
    page = (folder / "explain.html").read_text("utf-8")
    fields = [view for view in found["maps"] if "input_side_of_95%" in view]
    assert len(fields) == 2
    for view in fields:
        assert f"a square of {view['input_side_of_95%']:.0f} pixels of the model&#39;s input" in page
    # both blocks are of the second stage, of a network with patches of two pixels
    assert re.findall(r"(\d+) pixels of the model&#39;s input each", page) == ["4", "4"]


def test_places_are_in_pixels_of_the_picture(explained: tuple[Path, dict]) -> None:
    found = explained[1]
    left, top, right, bottom = found["seen"]
    assert 0 <= left < right <= 80
    assert 0 <= top < bottom <= 50
    for view in found["maps"]:
        assert left <= view["peak"][0] <= right
        assert top <= view["peak"][1] <= bottom
    windows = [view["window"][0] for view in found["maps"] if "window" in view]
    assert len(windows) == 2


def test_a_patch_that_is_asked_for(place: Path) -> None:
    arguments = [str(place / "model"), str(place / "picture.png"), "--no-trust", "--json", "-q"]
    out = place / "patch"
    chosen = ["--at", "40,25", "--stage", "1", "--block", "2", "--method", "smoothgrad", "--out", str(out)]
    done = CliRunner().invoke(command, [*arguments, *chosen])
    assert done.exit_code == 0, done.output
    (shown,) = [view for view in json.loads(done.stdout)["maps"] if "window" in view]
    left, top, right, bottom = shown["window"][0]
    assert left <= 40 < right
    assert top <= 25 < bottom
    assert shown["trust"] is None
    assert "--at 40,25 --stage 1 --block 2" in (out / "explain.html").read_text("utf-8")


def test_when_all_was_shown_the_tour_is_proposed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(place / "model"), str(place / "picture.png")]
    assert run(["explain", *given, "--no-trust", "--atlas", "--method", "cam", "--out", str(place / "all")]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"Next: swinkit tour {given[1]} --model {given[0]}"


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        ("ttt", "All 3 maps"),
        ("tff", "1 of 3 maps passed every check; the others"),
        ("ff", "None of 2 maps passed every check; each"),
        ("", "not checked"),
    ],
)
def test_the_page_says_how_many_maps_can_be_trusted(passed: str, said: str) -> None:
    views = [SimpleNamespace(trust=SimpleNamespace(passed=one == "t")) for one in passed]
    assert said in judged(views)  # type: ignore[arg-type]


def test_what_a_failed_check_means_is_said_where_it_fails(place: Path, explained: tuple[Path, dict], capsys) -> None:
    folder, found = explained
    failed = {check["name"] for view in found["maps"] for check in view["trust"]["checks"] if not check["passed"]}
    assert "no fault of the program" in " ".join(found["notes"])
    assert {name for name in failed if any(f"fails {name} " in note for note in found["notes"])} == failed
    page = (folder / "explain.html").read_text("utf-8")
    assert all(str(escape(note)) in page for note in found["notes"])
    told = ["explain", str(place / "model"), str(place / "picture.png"), "--method", "cam", "--out", str(place / "told")]
    assert run(told) == 0
    assert "no fault of the program" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("failed", "share", "chance", "unsure", "count"),
    [
        (["noise"], 0.15, 0.1, True, 3),
        (["noise", "deletion and insertion"], 0.6, 0.1, False, 3),
        (["noise"], 0.15, None, False, 2),
        ([], 0.1, 0.1, False, 0),
    ],
)
def test_an_unsure_answer_is_named_where_maps_fail(
    failed: list, share: float, chance: float | None, unsure: bool, count: int
) -> None:
    views = [SimpleNamespace(trust=SimpleNamespace(failed=tuple(failed))), SimpleNamespace(trust=None)]
    notes = meanings(views, [("boot", share)], chance)  # type: ignore[arg-type]
    assert len(notes) == count
    assert any("unsure" in note for note in notes) == unsure


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--at", "0,0"], 2, "does not see pixel 0,0"),
        (["--at", "here"], 2, "is no pixel"),
        (["--class", "wasp"], 2, "no class 'wasp'"),
        (["--stage", "7"], 2, "--stage 7: the model has 2 stages"),
        (["--stage", "1", "--block", "9"], 2, "--block 9: stage 1 has 2 blocks"),
        (["--window", "9"], 2, "needs --atlas"),
    ],
)
def test_what_cannot_be_meant(
    place: Path, options: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["explain", str(place / "model"), str(place / "picture.png"), "--no-trust", "-q", *options]
    assert run([*arguments, "--out", str(place / "never")]) == code
    assert told in capsys.readouterr().err
    assert not (place / "never").exists()


def test_a_folder_that_is_taken(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", str(place / "model"), str(place / "picture.png"), "--out", str(place / "model")]) == 2
    assert "not overwritten" in capsys.readouterr().err


def test_names_of_foreign_weights_cannot_steer_the_terminal(place: Path, tmp_path: Path, capsys) -> None:
    model = swinkit.load(place / "model")
    model.classes = ("\x1b[31mant\x07", "\x1b]0;title\x07", "b\nee", "\x9bdog")
    swinkit.save(model, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    written = json.loads(config.read_text("utf-8"))
    written["doubts"] = ["\x1b[2Jdoubt"]
    config.write_text(json.dumps(written), "utf-8")
    arguments = [str(tmp_path / "model"), str(place / "picture.png")]
    assert run(["explain", *arguments, "--method", "cam", "--out", str(tmp_path / "why")]) == 0
    assert run(["explain", *arguments, "--class", "wasp"]) == 2
    assert run(["inspect", str(tmp_path / "model")]) == 0
    printed = capsys.readouterr()
    assert "\\x1b[31mant" in printed.out
    assert "\\x1b[2Jdoubt" in printed.err
    assert all(char.isprintable() for char in (printed.out + printed.err).replace("\n", ""))
    assert "b\nee" not in printed.out


@pytest.mark.parametrize("options", [[], ["--reconstruct"]])
def test_a_place_for_the_next_folder_is_looked_at_before_the_work(
    options: list[str], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    monkeypatch.setattr("swinkit.tasks.load", None)
    monkeypatch.setattr("swinkit.explain.reconstruction.load_painter", None)
    assert run(["explain", str(place / "model"), str(place / "picture.png"), *options]) == 2
    assert "runs is no folder that can be written to. Mend: choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "name"), [("cam-a/b", "cam-a_b"), ("..", "map"), ("x" * 300, "x" * 80), ("鞋" * 90, "鞋" * 26)]
)
def test_a_file_name_fits_every_file_system(text: str, name: str) -> None:
    assert safe_name(text) == name
