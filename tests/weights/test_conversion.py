"""A model into every format and back: the same network by its library's word, or nothing at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import swinkit
from swinkit.cli.main import run
from swinkit.config import Masking, SwinConfig
from swinkit.errors import GateError, SwinkitError, UsageError, WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.model.simmim import SimMIM
from swinkit.runtime.converting import Changes, make_plan, picture_batch
from swinkit.tasks import open_saved
from swinkit.weights import certificate, conversion
from swinkit.weights.atomic import TEMPORARY, drafting
from swinkit.weights.certificate import differences
from swinkit.weights.descriptions import builders
from swinkit.weights.files import save_model
from swinkit.weights.formats import DIALECTS
from swinkit.weights.inspection import inspect_weights
from swinkit.weights.safety import check_safetensors
from swinkit.weights.saved import painted_normalise, weights_digest
from swinkit.weights.streams import write_pth, write_safetensors
from swinkit.weights.targets import TARGETS, find_target
from swinkit.weights.translation import export

from ..shaking import shake
from .converting import convert
from .stand_in import Hub

TINY = {"embed_dim": 8, "depths": (1, 2), "num_heads": (1, 2), "num_classes": 5, "image_size": 32, "window_size": 4}
CONFIGS = {
    "V1": TINY,
    "V2": {**TINY, "version": 2},
    "V2 moved": {**TINY, "version": 2, "window_size": 8, "pretrained_window_sizes": (6, 3)},
}
CLASSES = ["cat", "dog", "owl", "a, b: c", "Ω"]

pytestmark = pytest.mark.usefixtures("witness_here")


def saved(folder: Path, fields: dict[str, Any], classes: list[str] | None = None) -> Path:
    model = shake(SwinClassifier(SwinConfig.model_validate(fields)))
    model.classes = classes or CLASSES[: model.config.num_classes]
    model.preprocessing = swinkit.Preprocessing(size=model.config.image_size, crop_ratio=0.8, interpolation="bilinear")
    return swinkit.save(model, folder)


def place(folder: Path, format: str) -> Path:
    return folder / (format if TARGETS[format].folder else f"{format}.pth")


@pytest.mark.peers
@pytest.mark.parametrize("name", CONFIGS)
def test_round_trip_through_every_library(tmp_path: Path, name: str) -> None:
    """Microsoft -> timm -> transformers -> torchvision -> OpenMMLab -> Microsoft, each from the files of the one before."""
    origin = saved(tmp_path / "origin", CONFIGS[name])
    before, judges = origin, []
    for number, format in enumerate(("microsoft", "timm", "transformers", "torchvision", "openmmlab", "microsoft")):
        (tmp_path / str(number)).mkdir()
        done = convert(before, place(tmp_path / str(number), format), format)
        assert done.parity.same
        assert {one.where for one in done.parity.differences} == {"stage 1", "stage 2", "logits"}
        judges.append(done.parity.compared_in.split()[0])
        before = done.out
    assert judges == ["swinkit,", "timm", "transformers", "torchvision", "swinkit,", "swinkit,"]
    first, last = swinkit.load(origin), swinkit.load(before)
    assert weights_digest(first.state_dict()) == weights_digest(last.state_dict())
    assert last.config == first.config
    assert last.classes == first.classes == tuple(CLASSES)
    assert last.preprocessing == first.preprocessing


@pytest.mark.peers
@pytest.mark.parametrize("format", ["transformers", "timm", "openmmlab", "torchvision"])
def test_22k_head_mapped_to_1k_with_names_and_preprocessing_through_a_library(tmp_path: Path, format: str) -> None:
    """Microsoft's map: output i of the new head is output map[i] of the old one."""
    origin = saved(tmp_path / "origin", {**TINY, "num_classes": 9}, [f"synset {index}" for index in range(9)])
    (tmp_path / "map.txt").write_text("7\n0\n4\n")
    (tmp_path / "names.txt").write_text("tench\ngoldfish\nwhite shark\n", encoding="utf-8")
    there = convert(origin, place(tmp_path, format), format, head_map=tmp_path / "map.txt", class_names=tmp_path / "names.txt")
    back = convert(there.out, tmp_path / "back", "swinkit")
    model, old = swinkit.load(back.out), swinkit.load(origin)
    assert model.classes == ("tench", "goldfish", "white shark")
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), old(images)[:, [7, 0, 4]])
    assert model.preprocessing.resized(50, 70) == old.preprocessing.resized(50, 70)
    assert (model.preprocessing.size, model.preprocessing.mean, model.preprocessing.interpolation) == (
        old.preprocessing.size, old.preprocessing.mean, old.preprocessing.interpolation,
    )  # fmt: skip


def test_outputs_are_chosen_by_name(tmp_path: Path) -> None:
    origin = saved(tmp_path / "origin", TINY)
    (tmp_path / "names.txt").write_text("owl\ncat\n", encoding="utf-8")
    done = convert(origin, tmp_path / "two", "swinkit", head_classes=tmp_path / "names.txt")
    model = swinkit.load(done.out)
    images = torch.randn(1, 3, 32, 32)
    assert model.classes == ("owl", "cat")
    torch.testing.assert_close(model(images), swinkit.load(origin)(images)[:, [2, 0]])


@pytest.mark.parametrize(
    ("option", "lines", "words"),
    [
        ("head_map", "0\n5\n", r"line 2: expected an output of the head, 0 to 4, got '5'"),
        ("head_map", "0\n-1\n", "got '-1'"),
        ("head_map", "1\n1\n", "twice"),
        ("head_map", "1\n\n2\n", "an empty one"),
        ("head_classes", "cat\nwolf\n", "1 of 2 names are not one class of this model each \\('wolf'\\)"),
        ("head_classes", "cat\ncat\n", "'cat'"),
        ("class_names", "a\nb\n", "2 names, but the model has 5 outputs"),
    ],
)
def test_a_head_is_never_guessed(tmp_path: Path, option: str, lines: str, words: str) -> None:
    (tmp_path / "list.txt").write_text(lines, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        convert(saved(tmp_path / "origin", TINY), tmp_path / "out", "swinkit", **{option: tmp_path / "list.txt"})
    assert not (tmp_path / "out").exists()


@pytest.mark.peers
def test_a_classifier_starts_a_detector(tmp_path: Path) -> None:
    """The same weights read as dense: another function, and said so; transformers' backbone agrees in every map."""
    fields = {**TINY, "window_size": 8, "image_size": 32}  # the last stage's window shrank to 4, so its table grows back
    origin = saved(tmp_path / "origin", fields)
    with pytest.raises(WeightsError, match="--geometry dense"):
        convert(origin, tmp_path / "refused", "transformers-backbone", backbone=True)
    done = convert(origin, tmp_path / "backbone", "transformers-backbone", geometry="dense", backbone=True)
    assert {one.where for one in done.parity.differences} == {"stage 1", "stage 2", "output 2"}
    assert any("another function" in note for note in done.certificate["notes"])
    assert done.certificate["configuration"]["geometry"] == "dense"
    assert (looked := inspect_weights(done.out))["geometry"] == "dense"
    assert not looked["problems"]
    again = convert(done.out, tmp_path / "detector.pth", "microsoft-dense")
    file = swinkit.weights.foreign.open_foreign(again.out)
    assert file.config.geometry == "dense"
    assert file.state["backbone.stages.1.blocks.0.attention.bias.table"].shape == (225, 2)
    with pytest.raises(WeightsError, match="geometry 'dense'"):
        convert(again.out, tmp_path / "timm", "timm")


@pytest.mark.peers
@pytest.mark.parametrize("version", [1, 2])
def test_another_size_and_window(tmp_path: Path, version: int) -> None:
    origin = saved(tmp_path / "origin", {**TINY, "version": version})
    done = convert(origin, tmp_path / "larger", "timm", image_size=(64, 64), window_size=(8, 8))
    config = swinkit.load(done.out).config
    assert (config.image_size, config.window_size) == ((64, 64), (8, 8))
    assert config.pretrained_window_sizes == ((4, 4) if version == 2 else ())
    assert any(("bicubic" if version == 1 else "log-CPB") in note for note in done.certificate["notes"])
    geometric = convert(origin, tmp_path / "other", "timm", image_size=(64, 64), window_size=(8, 8), resize="geometric")
    assert (geometric.certificate["weights_sha256"] == done.certificate["weights_sha256"]) == (version == 2)


@pytest.mark.parametrize("version", [1, 2])
def test_what_simmim_pretrained_keeps_its_decoder(tmp_path: Path, version: int) -> None:
    config = SwinConfig.model_validate({**TINY, "version": version, "num_classes": 0})
    state = dict(shake(SwinClassifier(config)).state_dict())
    draw = torch.Generator().manual_seed(1)
    state["reconstruction.mask_token"] = torch.randn(1, 1, 8, generator=draw)
    state["reconstruction.decoder.weight"] = torch.randn(192, 16, 1, 1, generator=draw)
    state["reconstruction.decoder.bias"] = torch.randn(192, generator=draw)
    dialect = DIALECTS["simmim" if version == 2 else "microsoft"]
    torch.save({"model": export(state, config, dialect, "encoder.")}, tmp_path / "simmim.pth")
    described = certificate.Saved(config, (), swinkit.Preprocessing(size=(32, 32)), False, {}, state)
    TARGETS["microsoft"].write(described, TARGETS["microsoft"].state_of(described), tmp_path / "told.pth")
    done = convert(tmp_path / "told.pth", tmp_path / "again.pth", "microsoft")
    assert done.parity.same
    names = torch.load(done.out, weights_only=True)["model"]
    assert "encoder.mask_token" in names
    assert any("rpe_mlp" in name for name in names) == (version == 2)
    with pytest.raises(WeightsError, match="--backbone"):
        convert(done.out, tmp_path / "own", "swinkit")
    assert convert(done.out, tmp_path / "own", "swinkit", backbone=True).parity.same


@pytest.mark.peers
@pytest.mark.parametrize("version", [1, 2])
def test_what_simmim_pretrained_goes_on_in_transformers(tmp_path: Path, version: int) -> None:
    transformers = pytest.importorskip("transformers")
    config = SwinConfig.model_validate({**TINY, "version": version, "num_classes": 0})
    network = shake(SimMIM(config, Masking(cell=8)))
    save_model(network, tmp_path / "run", preprocessing=swinkit.Preprocessing(size=(32, 32)), task="pretraining")
    done = convert(tmp_path / "run", tmp_path / "there", "transformers")
    assert done.parity.same
    kind = transformers.SwinForMaskedImageModeling if version == 1 else transformers.Swinv2ForMaskedImageModeling
    theirs, report = kind.from_pretrained(done.out, output_loading_info=True)
    assert not report["missing_keys"]
    mask, images = torch.tensor([[[1, 0, 1, 0]] * 4], dtype=torch.uint8), torch.rand(1, 3, 32, 32)
    tokens = mask.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1).bool()
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(images, bool_masked_pos=tokens).reconstruction, network(images, mask))


@pytest.mark.parametrize(("version", "normalise"), [(1, 0), (2, 0), (2, 7)])
def test_what_targets_a_decoder_paints_is_known_after_a_conversion(tmp_path: Path, version: int, normalise: int) -> None:
    """Of version 2 a file without a description is taken for the published one, whose targets were normalised."""
    config = SwinConfig.model_validate({**TINY, "version": version, "num_classes": 0})
    network = shake(SimMIM(config, Masking(cell=8, normalise=normalise)))
    save_model(network, tmp_path / "run", preprocessing=swinkit.Preprocessing(size=(32, 32)), task="pretraining")
    done = convert(tmp_path / "run", tmp_path / "there.pth", "microsoft")
    assert painted_normalise(open_saved(done.out)) == normalise
    done.out.with_suffix(".json").unlink()
    assert painted_normalise(open_saved(done.out, unrecorded=(32, 32))) == (47 if version == 2 else 0)
    plan = make_plan(str(tmp_path / "run"), find_target("transformers"))
    assert any("targets were normalised, by 7 pixels" in note for note in conversion.check(plan)) == bool(normalise)


def test_weights_that_are_not_finite_are_not_converted(tmp_path: Path) -> None:
    plan = make_plan(str(saved(tmp_path / "origin", TINY)), find_target("timm"))
    plan.saved.state["norm.bias"][0] = float("nan")
    with pytest.raises(WeightsError, match=r"(?s)nothing is written.*not finite: norm\.bias"):
        conversion.convert(plan, tmp_path / "there", picture_batch(plan), ("one",))
    assert not (tmp_path / "there").exists()


def test_openmmlabs_builder_is_told_of_other_widths_and_of_a_qkv_without_bias() -> None:
    usual = SwinConfig.model_validate(TINY)
    assert builders.openmmlab(usual)["stage_cfgs"] == [{"block_cfgs": {"window_size": 4}}] * 2
    assert "stage_cfgs" not in builders.openmmlab(SwinConfig.model_validate({**TINY, "version": 2}))
    other = {**TINY, "mlp_ratio": 3.0, "qkv_bias": False}
    told = {"ffn_ratio": 3.0, "attn_cfgs": {"qkv_bias": False}}
    assert (
        builders.openmmlab(SwinConfig.model_validate(other))["stage_cfgs"] == [{"block_cfgs": {"window_size": 4, **told}}] * 2
    )
    assert builders.openmmlab(SwinConfig.model_validate({**other, "version": 2}))["stage_cfgs"] == {"block_cfgs": told}


def test_a_decoder_that_nobody_else_has_is_refused_with_the_remedy(tmp_path: Path) -> None:
    config = SwinConfig.model_validate({**TINY, "num_classes": 0})
    network = shake(SimMIM(config, Masking(cell=4, sparse=True)))
    save_model(network, tmp_path / "run", preprocessing=swinkit.Preprocessing(size=(32, 32)), task="pretraining")
    with pytest.raises(WeightsError, match=r"reconstruction.pixels.bias\n(.|\n)*Mend: --backbone"):
        convert(tmp_path / "run", tmp_path / "there", "timm")


def broken(expected: certificate.Reference) -> certificate.Reference:
    answers = {name: value + (name == "stage 2") * 1e-3 * value.abs().max() for name, value in expected.answers.items()}
    return expected._replace(answers=answers)


@pytest.mark.parametrize("format", ["timm", "microsoft"])
def test_another_network_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    origin, real = saved(tmp_path / "origin", TINY), certificate.reference
    monkeypatch.setattr(conversion, "reference", lambda *arguments: broken(real(*arguments)))
    with pytest.raises(GateError, match=r"another network; nothing is kept(.|\n)*stage 2: "):
        convert(origin, place(tmp_path, format), format)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["origin"]


@pytest.mark.parametrize("format", ["timm", "torchvision"])
@pytest.mark.parametrize("step", ["compare", "write_json", "sync_folder"])
def test_no_partial_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, step: str) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt if step == "compare" else OSError(28, "No space left on device")

    origin = saved(tmp_path / "origin", TINY)
    if step == "sync_folder":
        if TARGETS[format].folder:
            pytest.skip("one rename")
        real: Callable[..., None] = conversion.os.rename
        monkeypatch.setattr(conversion.os, "rename", lambda a, b: stop() if str(b).endswith(".pth") else real(a, b))
    else:
        monkeypatch.setattr(conversion, step, stop)
    with pytest.raises((KeyboardInterrupt, SwinkitError)):
        convert(origin, place(tmp_path, format), format)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["origin"]


@pytest.mark.parametrize("format", ["timm", "torchvision"])
def test_what_a_killed_conversion_left_is_removed_by_the_next(tmp_path: Path, format: str) -> None:
    origin, out = saved(tmp_path / "origin", TINY), place(tmp_path, format)
    code = (
        "import os, sys; from swinkit.cli.main import run; from swinkit.weights import conversion;"
        "conversion.compare = lambda *_: os._exit(9); run(sys.argv[1:])"  # as abrupt as SIGKILL: nothing is tidied up
    )
    command = [sys.executable, "-c", code, "convert", str(origin), str(out), "--to", format, "-q"]
    assert subprocess.run(command, check=False, timeout=200).returncode == 9
    left = next(tmp_path.glob(f"{TEMPORARY}*"))
    with drafting(tmp_path / "other") as running:
        convert(origin, out, format)
        assert [path.name for path in tmp_path.glob(f"{TEMPORARY}*")] == [running.name]
    assert not left.exists()
    assert swinkit.load(out).classes == tuple(CLASSES)


@pytest.mark.parametrize("format", ["transformers", "timm"])
def test_a_model_on_the_hub_becomes_swinkits_own(tmp_path: Path, hub: Hub, format: str) -> None:
    origin = saved(tmp_path / "origin", {**TINY, "version": 2})
    there = convert(origin, tmp_path / "there", format)
    hub.repositories["org/swin"] = {path.name: path.read_bytes() for path in there.out.iterdir()}
    assert run(["convert", "hf-hub:org/swin", str(tmp_path / "own"), "--to", "swinkit", "-q"]) == 0
    first, last = swinkit.load(origin), swinkit.load(tmp_path / "own")
    assert weights_digest(first.state_dict()) == weights_digest(last.state_dict())
    assert (last.config, last.classes) == (first.config, first.classes)
    assert last.preprocessing.resized(50, 70) == first.preprocessing.resized(50, 70)
    source = json.loads((tmp_path / "own" / "certificate.json").read_text("utf-8"))["source"]
    assert (source["name"], source["format"]) == ("hf-hub:org/swin", format)
    assert source["files"].items() >= there.certificate["target"]["files"].items()


def test_nothing_is_overwritten_and_names_fit(tmp_path: Path) -> None:
    origin = saved(tmp_path / "origin", TINY)
    (tmp_path / "a.json").write_text("{}")
    for out, format, words in [
        (origin, "timm", "not overwritten"),
        (tmp_path / "a.pth", "microsoft", "a.json is there already"),
        (tmp_path / "b.pth", "timm", "is a folder"),
        (tmp_path / "b", "microsoft", "one file"),
        (tmp_path / "absent" / "b", "timm", "no folder"),
    ]:
        with pytest.raises(UsageError, match=words):
            convert(origin, out, format)
    with pytest.raises(UsageError, match="Did you mean 'transformers'"):
        find_target("tranformers")


def test_a_description_of_other_weights_is_refused(tmp_path: Path) -> None:
    done = convert(saved(tmp_path / "origin", {**TINY, "version": 2}), tmp_path / "a.pth", "microsoft")
    model = swinkit.load(done.out)
    state = torch.load(done.out, weights_only=True)["model"]
    write_pth(tmp_path / "b.pth", {**state, "norm.bias": state["norm.bias"] + 1}, key="model")
    (tmp_path / "b.json").write_bytes((tmp_path / "a.json").read_bytes())
    with pytest.raises(WeightsError, match=r"describes others: expected SHA-256"):
        swinkit.load(tmp_path / "b.pth")
    (tmp_path / "b.json").write_text("[1, 2]")  # whatever else is called so says nothing
    assert swinkit.load(tmp_path / "b.pth", image_size=32).config.num_classes == model.config.num_classes


def test_streams_give_what_safetensors_reads(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "part": base[1:3, 2:], "transposed": base.t(), "half": base.half(), "brain": base.bfloat16(), "whole": torch.arange(5),
        "flag": torch.tensor([True, False, True]), "scalar": torch.tensor(2.5), "none": torch.empty(0, 3), "Ω": base,
    }  # fmt: skip
    write_safetensors(tmp_path / "a.safetensors", state)
    check_safetensors(tmp_path / "a.safetensors")
    read = load_file(tmp_path / "a.safetensors")
    assert read.keys() == state.keys()
    assert all(read[name].dtype == tensor.dtype and torch.equal(read[name], tensor) for name, tensor in state.items())
    write_pth(tmp_path / "a.pth", {"part": base[:1]})
    assert torch.load(tmp_path / "a.pth", weights_only=True)["part"].untyped_storage().nbytes() == 24


def test_a_stage_that_is_missing_or_no_number_is_no_likeness() -> None:
    expected = {"stage 1": torch.ones(2), "stage 2": torch.ones(2), "logits": torch.ones(3)}
    found = {"stage 1": torch.tensor([1.0, float("nan")])}
    assert [one.difference for one in differences(expected, found)] == [float("inf"), float("inf")]


@pytest.mark.peers
def test_the_witness_is_a_process_of_its_own(tmp_path: Path) -> None:
    """No peer is in the process that converts; the certificate is timm's all the same."""
    origin = saved(tmp_path / "origin", TINY)
    code = (
        "import sys; from swinkit.cli.main import run; code = run(sys.argv[1:]);"
        "print([name for name in ('timm', 'transformers') if name in sys.modules], code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "convert", str(origin), str(tmp_path / "timm"), "--to", "timm", "-q"],
        capture_output=True, text=True, check=True, timeout=200,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[] 0"
    said = json.loads((tmp_path / "timm" / "certificate.json").read_text("utf-8"))
    assert said["compared_in"].startswith("timm ")
    assert (said["verdict"], said["weights_identical"]) == ("same network", True)
    assert set(said["target"]["files"]) == {"model.safetensors", "config.json"}


def test_changes_from_python_are_checked_as_those_of_the_command(tmp_path: Path) -> None:
    for wrong in ({"geometry": "bogus"}, {"resize": "bogus"}):
        with pytest.raises(UsageError, match=r"There is no (geometry|resize) 'bogus'\. Expected one of"):
            Changes(**wrong)
    (tmp_path / "names.txt").write_text("a\nb\n")
    assert Changes(class_names=str(tmp_path / "names.txt")).class_names == tmp_path / "names.txt"  # type: ignore[arg-type]
