"""Settings from file, ``--set`` and flags; messages for what does not fit; JSON that is JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from swinkit.cli.options import next_command, print_json, read_settings, shared
from swinkit.errors import UsageError
from swinkit.validation import validated


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    flip: bool = True


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    also_called: ClassVar[dict[str, str]] = {"learning_rate": "lr"}
    lr: float = 0.1
    augment: Inner | None = None
    size: int | tuple[int, int] | None = None
    depths: tuple[int, ...] = ()
    sides: tuple[int, int] = (0, 0)


def test_flags_win_over_set_and_set_over_file(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("epochs: 1\nseed: 1\nlr: 1.0\naugment: {flip: true, shift: 2}\n")
    found = read_settings(config, ["seed=2", "epochs=2", "augment.flip=false"], epochs=3, workers=None)
    assert found == {"epochs": 3, "seed": 2, "lr": 1.0, "augment": {"flip": False, "shift": 2}}


def test_empty_file_is_no_settings(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("# nothing yet\n")
    assert read_settings(config, []) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [("lr", "expects KEY=VALUE"), ("=1", "expects KEY=VALUE"), ("a..b=1", "expects KEY=VALUE"), ("a=[1", "not valid YAML")],
)
def test_a_wrong_set_is_explained(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_settings(None, [text])


def test_a_setting_inside_a_number_is_explained() -> None:
    with pytest.raises(UsageError, match="lr is 1, it holds no settings"):
        read_settings(None, ["lr=1", "lr.decay=2"])


@pytest.mark.parametrize(
    ("text", "message"), [(b"- 1\n", "got list"), (b"a: [", "not valid YAML"), (b"data: K\xf6ln", "not valid YAML")]
)
def test_a_wrong_file_is_named(text: bytes, message: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_bytes(text)
    with pytest.raises(UsageError, match=message) as raised:
        read_settings(config, [])
    assert "config.yaml" in str(raised.value)


def test_scientific_notation_is_a_number() -> None:
    assert validated(Outer, read_settings(None, ["lr=1e-3"])).lr == 1e-3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lrr": 1}, "No such setting 'lrr'. Did you mean 'lr'?"),
        ({"augment": {"flp": 1}}, "No such setting 'augment.flp'. Did you mean 'augment.flip'?"),
        ({"flip": 1}, "No such setting 'flip'. Did you mean 'augment.flip'?"),
        ({"learning_rate": 1}, "No such setting 'learning_rate'. Did you mean 'lr'?"),
        ({"zzz": 1}, "No such setting 'zzz'. Known: lr, augment, size, depths, sides."),
        ({"lr": "fast"}, "lr: expected a number, got 'fast'. Mend: give one, as in lr=0.001"),
        ({"size": "large"}, "size: expected a whole number, got 'large'. Mend: give one, as in size=10"),  # first of two kinds
        ({"depths": "2,2"}, "depths: expected a list, got '2,2'. Mend: give one, as in depths=[2,2,6,2]"),
        ({"sides": "7x7"}, "sides: expected two numbers, got '7x7'. Mend: give one, as in sides=[224,224]"),
        ({"depths": [2, "x"]}, "depths[1]: Input should be a valid integer, unable to parse string as an integer, got 'x'."),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        validated(Outer, values)
    assert message in str(raised.value)


KEYS = st.text("abcdef", min_size=1, max_size=3)
VALUES = st.integers() | st.booleans() | st.none()
TREES = VALUES | st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, min_size=1, max_size=2), min_size=1, max_size=2)


def leaves(tree: object, path: tuple[str, ...] = ()) -> list[tuple[str, object]]:
    if isinstance(tree, dict):
        return [leaf for key, inner in tree.items() for leaf in leaves(inner, (*path, key))]
    return [(".".join(path), tree)]


@settings(max_examples=40)
@given(st.dictionaries(KEYS, TREES, max_size=3))
def test_any_tree_can_be_given_by_set(tree: dict[str, object]) -> None:
    assert read_settings(None, [f"{key}={json.dumps(value)}" for key, value in leaves(tree)]) == tree


def test_json_has_null_for_what_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"loss": float("nan"), "all": [float("inf"), 1.5], "name": "кот"})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"loss": None, "all": [None, 1.5], "name": "кот"}
    assert "кот" in shown


def test_next_command_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    next_command("swinkit", "evaluate", Path("runs/my shoes"))
    assert capsys.readouterr().err == "Next: swinkit evaluate 'runs/my shoes'\n"
    next_command("swinkit", quiet=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("device", "code"), [("cpu", 0), ("cuda:1", 0), ("auto", 0), ("gpu", 2), ("cuda:", 2)])
def test_device_is_checked_before_anything_is_loaded(device: str, code: int) -> None:
    @click.command()
    @shared("device")
    def verb(device: str) -> None:
        click.echo(device)

    assert CliRunner().invoke(verb, ["--device", device]).exit_code == code
