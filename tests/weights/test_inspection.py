"""swinkit inspect: what the file knows is named, what it does not know is not invented."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import swinkit
from swinkit.cli.convert import command as convert
from swinkit.cli.inspect import command
from swinkit.config import SwinConfig
from swinkit.errors import UsageError, WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.variants import configure, find
from swinkit.weights.descriptions import transformers
from swinkit.weights.formats import DIALECTS
from swinkit.weights.hub import Located
from swinkit.weights.inspection import inspect_state, inspect_weights
from swinkit.weights.named import BUNDLED
from swinkit.weights.streams import write_safetensors
from swinkit.weights.translation import expected_state, export

RECORDED = ("microsoft", "torchvision", "openmmlab", "simmim")  # save buffers that show the window of version 2
ONCE = ("swin_t", "swin_b", "swin_t_384", "swinv2_t", "swinv2_t_w16", "swinv2_b_384_ft")
KINDS = ("microsoft", "timm", "transformers", "torchvision", "openmmlab")
# thirty and more checkpoints: each library's classifiers, and what only some of them have
GENERATED = [
    *((name, kind) for name in ONCE for kind in KINDS),
    ("swinv2_t", "simmim"), ("swin_t", "transformers-5"),
    ("swin_t", "microsoft-dense"), ("swin_t", "transformers-backbone"), ("swin_s", "transformers-backbone-5"),
]  # fmt: skip


def generated(config: SwinConfig, dialect: str) -> dict[str, Tensor]:
    """A checkpoint of the published shape. Its weights are zeros without memory of their own; its buffers are real."""
    state = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in expected_state(config).items()}
    kept = ("backbone.", "norm.", "output_norms." if config.geometry == "dense" else "head.")
    return export({name: tensor for name, tensor in state.items() if name.startswith(kept)}, config, DIALECTS[dialect])


@pytest.mark.parametrize(("name", "kind"), GENERATED)
def test_generated_checkpoints(name: str, kind: str) -> None:
    dense = kind in ("microsoft-dense", "transformers-backbone", "transformers-backbone-5")
    config = configure(name, num_classes=3, geometry="dense" if dense else "classification")
    found = inspect_state(generated(config, kind))
    known = config.version == 1 or kind in RECORDED
    assert (found["version"], found["classes"], found["geometry"]) == (config.version, None if dense else 3, config.geometry)
    assert found["format"].split()[0].lower() in (DIALECTS[kind].title.lower(), kind.partition("-")[0], "the")
    assert find(name).name in found["variants"]
    assert (len(found["variants"]) == 1) == known
    assert found["windows"] == ([list(config.stage_window(stage)) for stage in range(4)] if known else None)
    assert found["image_size"] == (list(config.image_size) if known else None)
    trained = [config.pretrained_window(stage)[0] for stage in range(4)]
    assert found["trained_windows"] == (trained if known and config.version == 2 else None)
    assert bool(found["problems"]) != known


def test_there_are_thirty() -> None:
    assert len(GENERATED) >= 30


def test_a_size_that_only_bounds_is_not_given() -> None:
    """28 and 32 pixels give the same windows, and OpenMMLab saves nothing else."""
    config = configure("swin_nano", num_classes=3, depths=(2, 2, 2), embed_dim=16)
    assert inspect_state(generated(config, "openmmlab"))["image_size"] is None


def write(path: Path, config: SwinConfig, dialect: str) -> Path:
    state = {name: torch.zeros(tensor.shape) for name, tensor in SwinClassifier(config).state_dict().items()}
    torch.save(export(state, config, DIALECTS[dialect]), path)
    return path


def test_the_verb_says_not_recorded(tmp_path: Path) -> None:
    path = write(tmp_path / "w.pth", configure("swinv2_t", num_classes=3), "timm")
    answer = CliRunner().invoke(command, [str(path)])
    assert answer.exit_code == 0
    assert "windows  not recorded" in answer.output
    assert "Next:" not in answer.output  # there is a question to answer first


def test_a_run_and_a_name_that_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BUNDLED / "swin_nano.fashion_mnist", tmp_path / "run" / "model")
    assert inspect_weights(tmp_path / "run")["variants"] == ["swin_nano"]
    path = write(tmp_path / "w.pth", configure("swinv2_t", num_classes=3), "timm")
    monkeypatch.setattr("swinkit.weights.hub.locate", lambda name: Located(path, "swinv2_t"))
    found = json.loads(CliRunner().invoke(command, ["Swin_V2_T_Weights.DEFAULT", "--json"]).stdout)
    assert found["problems"] == []  # the name tells the window that the file does not
    assert found["windows"] == [[8, 8]] * 4
    assert found["image_size"] == [256, 256]


def test_a_description_that_contradicts_the_weights_is_named(tmp_path: Path) -> None:
    config = configure("swin_t", num_classes=3, depths=(1, 1, 1, 1), embed_dim=24)
    path = write(tmp_path / "model.safetensors.pth", config, "transformers")
    state = torch.load(path, weights_only=True)
    write_safetensors(tmp_path / "model.safetensors", state)
    described = transformers.write(config, ["a", "b", "c"])
    (tmp_path / "config.json").write_text(json.dumps({**described, "window_size": 12}))
    problems = inspect_weights(tmp_path)["problems"]
    assert any("windows of the stages are" in line for line in problems)


@pytest.mark.parametrize("name", ["swin_nano.fashion_mnist", str(BUNDLED / "swin_nano.fashion_mnist")])
def test_a_model_of_our_own(name: str) -> None:
    answer = CliRunner().invoke(command, [name, "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["format"] == "swinkit"
    assert found["variants"] == ["swin_nano"]
    assert found["windows"] == [[7, 7], [7, 7], [4, 4]]
    assert found["class_names"][-1] == "Ankle boot"
    assert found["problems"] == []


@pytest.mark.parametrize(("size", "window"), [(28, 7), (32, 7), (32, 8)])
def test_what_is_proposed_can_be_converted(tmp_path: Path, size: int, window: int) -> None:
    """Odd maps, maps that are padded, windows that shrink: each rules out some of the formats, and no other library is tried in vain."""
    model = swinkit.create_model("swin_nano", num_classes=3, image_size=size, window_size=window, embed_dim=8, depths=(1, 2, 1))
    source = swinkit.save(model, tmp_path / "model")
    answer = CliRunner().invoke(command, [str(source)])
    proposed = shlex.split(answer.stderr.partition("Next: ")[2])
    assert proposed[:2] == ["swinkit", "convert"]
    proposed[3] = str(tmp_path / proposed[3])
    done = CliRunner().invoke(convert, proposed[2:])
    assert done.exit_code == 0, done.output
    assert proposed[-1] == ("timm" if window == 8 else "torchvision")


def test_a_refused_format_names_those_that_can(tmp_path: Path) -> None:
    answer = CliRunner().invoke(convert, ["swin_nano.fashion_mnist", str(tmp_path / "out"), "--to", "timm"])
    assert isinstance(answer.exception, WeightsError)
    assert str(answer.exception).endswith("Formats that can express it: swinkit, openmmlab")


def test_what_holds_no_weights_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A model\n")
    answer = CliRunner().invoke(command, [str(tmp_path / "README.md")])
    assert isinstance(answer.exception, WeightsError)
    assert "README.md is no file of weights: it begins neither like safetensors nor" in str(answer.exception)
    (tmp_path / "bundle.json").write_text("{}")
    answer = CliRunner().invoke(command, [str(tmp_path)])
    assert isinstance(answer.exception, UsageError)
    assert f"Mend: swinkit verify {tmp_path} checks it" in str(answer.exception)
