"""What is typed arrives: flags whose effect is tested beneath the command line, followed to what has that effect."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from PIL import Image

from swinkit.cli.main import run

MODEL = "swin_nano.fashion_mnist"


class Arrived(Exception):
    """Ends the command where it hands on what was typed."""


def at(value: Any, path: str) -> Any:
    """What lies at the dotted ``path`` of arguments, keys and attributes."""
    for name in path.split("."):
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one works: a folder with ``one.png`` and ``names.txt``."""
    monkeypatch.chdir(tmp_path)
    Image.new("L", (28, 28)).save("one.png")
    Path("names.txt").write_text("one\ntwo\n", encoding="utf-8")


@pytest.fixture
def arrivals(place: None, monkeypatch: pytest.MonkeyPatch):
    """Runs words; returns the arguments with which they come to a function, where the command ends."""

    def type_in(words: str, function: str) -> Mapping[str, Any]:
        told: list[Mapping[str, Any]] = []
        signature = inspect.signature(pkgutil.resolve_name(function))

        def stand_in(*given: Any, **named: Any) -> None:
            told.append(signature.bind(*given, **named).arguments)
            raise Arrived

        monkeypatch.setattr(function, stand_in)
        assert run(words.split()) == 1
        assert len(told) == 1, f"{words} never came to {function}"
        return told[0]

    return type_in


@pytest.mark.parametrize(
    ("words", "function", "expected"),
    [
        ("train digits --time-limit 2.5", "swinkit.train.session.begin", {"settings.time_limit": 2.5}),
        ("train digits --seed 7", "swinkit.train.session.begin", {"settings.seed": 7}),
        ("pretrain digits --time-limit 2.5", "swinkit.train.pretraining.begin_pretraining", {"settings.time_limit": 2.5}),
        ("pretrain digits --seed 7", "swinkit.train.pretraining.begin_pretraining", {"settings.seed": 7}),
        ("bench swin_nano --max-seconds 7", "swinkit.study.turns.Until", {"seconds": 7}),
        ("bench swin_nano --no-floor", "swinkit.study.bench.measure", {"plan.floor": False}),
        ("bench swin_nano", "swinkit.study.bench.measure", {"plan.floor": True}),
        ("compare swin_nano --image-size 32 --max-seconds 7", "swinkit.study.compare.Until", {"seconds": 7}),
        (
            "predict {model} one.png --workers 0 --image-size 28x56",
            "swinkit.runtime.predictor.Predictor",
            {"image_size": (28, 56)},
        ),
        ("explain {model} one.png --image-size 28x56", "swinkit.tasks.load", {"image_size": (28, 56)}),
        ("explain {model} one.png --seed 7", "swinkit.explain.explanation.Explainer", {"thorough.seed": 7}),
        ("explain {model} one.png --reconstruct --seed 7", "swinkit.cli.pages.reconstructing.write", {"seed": 7}),
        ("data digits --seed 7", "swinkit.data.split.make_split", {"seed": 7}),
        (
            "tour --lang ru --repeats 0",
            "swinkit.explain.tour.pages.write_tour",
            {"language": "ru", "path.name": "tour.ru.html"},
        ),
        ("convert {model} out --to timm --variant swin_t", "swinkit.runtime.converting.open_saved", {"variant": "swin_t"}),
        ("convert {model} out --to timm --image-size 56", "swinkit.weights.saved.at_size", {"image_size": (56, 56)}),
        ("convert {model} out --to timm --window-size 3x4", "swinkit.weights.saved.at_size", {"window_size": (3, 4)}),
        (
            "convert {model} out --to timm --window-size 3 --resize geometric",
            "swinkit.weights.saved.at_size",
            {"method": "geometric"},
        ),
        ("convert {model} out --to timm --head-map names.txt", "swinkit.weights.saved.mapped", {"path.name": "names.txt"}),
        ("convert {model} out --to timm --head-classes names.txt", "swinkit.weights.saved.chosen", {"path.name": "names.txt"}),
        ("convert {model} out --to timm --class-names names.txt", "swinkit.weights.saved.renamed", {"path.name": "names.txt"}),
    ],
)
def test_a_flag_arrives(words: str, function: str, expected: Mapping[str, Any], arrivals) -> None:
    told = arrivals(words.format(model=MODEL), function)
    assert {path: at(told, path) for path in expected} == expected


def test_explain_resizes_tables_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr("swinkit.cli.pages.biases.atlas", lambda _, *how: asked.append(how) or [])
    assert run(["explain", MODEL, "one.png", "--no-trust", "--atlas", "--window", "9", "--resizing", "geometric", "-q"]) == 0
    assert asked == [(), (9, "geometric")]


def test_the_demo_learns_with_the_seed_that_it_is_told(arrivals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swinkit.cli.demo.judged", MagicMock())
    told = arrivals("demo --seed 7 --out demo", "swinkit.cli.demo.learned")
    assert told["budget"]["seed"] == 7
