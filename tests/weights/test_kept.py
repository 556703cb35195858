"""What a file says beside its weights: it goes with them where it still holds, and stays behind where it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import swinkit
from swinkit.config import SwinConfig
from swinkit.errors import UsageError, WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import described, open_saved
from swinkit.weights import saved as changes
from swinkit.weights.conversion import ConversionPlan, Source, convert
from swinkit.weights.descriptions import timm
from swinkit.weights.files import read_model, save_model
from swinkit.weights.formats import DIALECTS
from swinkit.weights.publishing import BEGIN, END, save_pretrained
from swinkit.weights.saved import Saved
from swinkit.weights.streams import write_pth, write_safetensors
from swinkit.weights.targets import find_target
from swinkit.weights.translation import export

TINY = SwinConfig(image_size=32, embed_dim=8, depths=(1, 1), num_heads=(1, 2), num_classes=3, window_size=4)
MEASURED = {"metrics": {"validation": {"top1": 0.8}, "test": {"top1": 0.9412, "loss": 0.25}}, "temperature": 2.0}


def made(seed: int = 0, classes: tuple[str, ...] = ("ant", "bee", "cat"), **fields) -> SwinClassifier:
    torch.manual_seed(seed)
    config = TINY.model_copy(update={"num_classes": len(classes), **fields})
    return described(SwinClassifier(config).eval(), classes, Preprocessing(size=config.image_size))


def converted(saved: Saved, out: Path) -> Path:
    """``saved`` in our own format; a conversion lets go of the tensors that it is given."""
    plan = ConversionPlan(Source("it", "swinkit", {}), find_target("swinkit"), replace(saved, state=dict(saved.state)))
    return convert(plan, out, torch.randn(1, 3, *saved.config.image_size), ("noise",)).out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(made(), tmp_path / "run" / "model", classes=("ant", "bee", "cat"), extra=MEASURED)


def test_weights_that_lie_beside_the_model_of_a_run_are_not_taken_for_it(folder: Path) -> None:
    run = folder.parent
    (run / "config.yaml").write_text("task: classification")
    write_pth(run / "best.pth", export(made(1).state_dict(), TINY, DIALECTS["timm"]))
    assert torch.equal(swinkit.load(run).head.weight, made().head.weight)


def test_figures_stay_with_the_network_they_were_measured_on(folder: Path, tmp_path: Path) -> None:
    saved = open_saved(folder)
    assert {name: saved.metadata[name] for name in MEASURED} == MEASURED
    assert changes.at_size(saved, (32, 32)).metadata["metrics"] == MEASURED["metrics"]
    for size, window in (((64, 64), None), ((32, 32), (2, 2))):
        other = changes.at_size(saved, size, window).metadata
        assert "metrics" not in other
        assert other["temperature"] == 2.0
    assert "metrics" not in changes.in_geometry(saved, "dense").metadata
    fewer = changes.with_outputs(saved, [2, 0], ["cat", "ant"])
    for changed in (fewer, changes.backbone_alone(saved, keep_norms=True)):
        assert not {"metrics", "temperature"} & changed.metadata.keys()
    converted(fewer, tmp_path / "out")
    assert "top1" not in (tmp_path / "out" / "config.json").read_text()
    again = save_pretrained(swinkit.load(folder, image_size=16), tmp_path / "smaller")
    assert "metrics" not in read_model(again).metadata


def test_a_card_shows_the_figures_of_a_run_and_tells_of_the_model_that_lies_there_now(folder: Path, tmp_path: Path) -> None:
    card = tmp_path / "card" / "README.md"
    save_pretrained(swinkit.load(folder), card.parent, licence="mit")
    first = card.read_text("utf-8")
    assert "## Measured in test" in first
    assert "| top1 | 0.9412 |" in first
    card.write_bytes(first.replace("license", "licence_of_ours").encode() + "\nOurs: thanks to Bj\xf6rn.\r\n".encode("latin-1"))
    save_pretrained(made(1, ("dog", "elk")), card.parent)
    second = card.read_bytes().decode("latin-1")
    assert second.startswith('---\nlibrary_name: "swinkit"')
    assert second.endswith(f"{END}\n\nOurs: thanks to Bj\xf6rn.\r\n")
    assert second.count(BEGIN) == 1
    assert "`dog`, `elk`" in second
    assert read_model(card.parent).sha256 in second
    assert not [words for words in ("`ant`", "0.9412", read_model(folder).sha256) if words in second]
    assert 'licence_of_ours: "mit"' in second


def test_tables_are_resized_as_their_origin_does_after_a_way_through_our_own_format(tmp_path: Path) -> None:
    """timm's weights, in our format by conversion, by save and by save_pretrained."""
    model = made()
    for table in (tensor for name, tensor in model.state_dict().items() if name.endswith("bias.table")):
        table.copy_(torch.randn_like(table))
    theirs = tmp_path / "timm"
    theirs.mkdir()
    write_safetensors(theirs / "model.safetensors", export(model.state_dict(), TINY, DIALECTS["timm"]))
    (theirs / "config.json").write_text(
        json.dumps(timm.write(TINY, ("ant", "bee", "cat"), model.preprocessing, None))  # type: ignore[arg-type]
    )
    origin = open_saved(theirs)
    assert changes.convention(origin) == "geometric"
    ours = [converted(origin, tmp_path / "converted"), swinkit.save(swinkit.load(theirs), tmp_path / "saved")]
    ours.append(save_pretrained(swinkit.load(ours[0]), tmp_path / "published"))
    expected = changes.at_size(origin, (56, 56), (7, 7)).state
    for folder in ours:
        state = changes.at_size(open_saved(folder), (56, 56), (7, 7)).state
        assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
    plain = open_saved(swinkit.save(model, tmp_path / "plain"))
    assert changes.convention(plain) == "bicubic"
    assert changes.convention(replace(plain, metadata={"resizing": "of my own"})) == "bicubic"


def test_our_own_weights_without_their_description_are_known_for_what_they_are(tmp_path: Path) -> None:
    torch.save(made().state_dict(), tmp_path / "mine.pth")
    with pytest.raises(
        WeightsError, match=r"swinkit's own names, without the config\.json.*Mend: .*swinkit\.save\(model, folder\)"
    ):
        swinkit.load(tmp_path / "mine.pth")


def test_weights_that_are_no_swin_are_not_taken_for_ours(tmp_path: Path) -> None:
    torch.save({"backbone.stages.0.0.depthwise_conv.weight": torch.ones(3)}, tmp_path / "convnext.pth")
    with pytest.raises(WeightsError, match="There is no Swin among these 1 tensors"):
        swinkit.load(tmp_path / "convnext.pth")


def test_the_state_of_a_training_is_known_for_what_it_is(tmp_path: Path) -> None:
    save_file({f"{number:06}": torch.ones(3) for number in range(4)}, tmp_path / "step_00000009.safetensors")
    with pytest.raises(WeightsError, match=r"training of swinkit.*Mend: of a run RUN take RUN/model"):
        swinkit.load(tmp_path / "step_00000009.safetensors")


def test_a_checkpoint_that_names_a_type_of_numbers_is_read(tmp_path: Path) -> None:
    state = export(made().state_dict(), TINY, DIALECTS["timm"])
    torch.save({"state_dict": dict(state), "dtype": torch.float32}, tmp_path / "mine.pth")
    assert torch.equal(swinkit.load(tmp_path / "mine.pth", image_size=32).head.weight, made().head.weight)


def test_a_mark_that_notepad_writes_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("x\ny\n", encoding="utf-8-sig")
    assert changes.read_lines(tmp_path / "names.txt") == ["x", "y"]


def test_what_could_not_be_asked_is_not_saved(tmp_path: Path) -> None:
    model = made()
    gray = Preprocessing(size=(32, 32), channels=1, mean=(0.5,), std=(0.5,))
    with pytest.raises(UsageError, match=r"takes 3 channels, and its preprocessing makes 1\. Mend"):
        save_model(model, tmp_path / "gray", preprocessing=gray)
    assert not (tmp_path / "gray").exists()
    assert read_model(save_model(model, tmp_path / "numbers", classes=[0, 1, 2])).classes == ("0", "1", "2")  # type: ignore[list-item]


def test_parts_of_the_package_are_there_when_they_are_named() -> None:
    code = "import swinkit; print(swinkit.runtime.engines.build.__name__, swinkit.model.tracing.compiled.__name__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "build compiled\n"
