import json

import pytest
import torch

import swinkit
from swinkit.config import Masking
from swinkit.errors import UsageError, WeightsError
from swinkit.model.simmim import SimMIM
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import TASKS, Parts, decoder_of, described, find_task
from swinkit.tasks.classification import ClassificationDecoder
from swinkit.weights.attached import attached
from swinkit.weights.descriptions import transformers
from swinkit.weights.files import save_model
from swinkit.weights.formats import DIALECTS
from swinkit.weights.publishing import save_pretrained
from swinkit.weights.resize import bicubic
from swinkit.weights.streams import write_safetensors
from swinkit.weights.translation import export

TINY = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4, "patch_size": 2}


def tiny(classes=3, size=16):
    torch.manual_seed(0)
    return swinkit.create_model("swin_nano", num_classes=classes, in_channels=1, image_size=size, **TINY)


def test_a_created_model_has_the_shape_that_was_asked_for():
    model = tiny(classes=5)
    assert model(torch.zeros(2, 1, 16, 16)).shape == (2, 5)
    assert swinkit.create_model("swin_nano").config.num_classes == 1000


def test_a_saved_model_comes_back_with_what_it_needs_in_use(tmp_path):
    look = Preprocessing(size=(16, 16), channels=1, mean=(0.4,), std=(0.2,))
    model = described(tiny(), ("a", "b", "c"), look).eval()
    swinkit.save(model, tmp_path / "m")
    again = swinkit.load(tmp_path / "m")
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(model(images), again(images))
    assert (again.classes, again.preprocessing, again.multi_label) == (("a", "b", "c"), look, False)
    assert not again.training


def test_a_fitted_temperature_is_saved_again(tmp_path):
    save_model(tiny(), tmp_path / "trained", extra={"temperature": 1.7})
    swinkit.save(swinkit.load(tmp_path / "trained"), tmp_path / "again")
    assert attached(swinkit.load(tmp_path / "again")).temperature == 1.7


def test_outputs_are_read_by_the_task_of_the_model(tmp_path, monkeypatch):
    save_model(tiny(), tmp_path / "trained", classes=("a", "b", "c"), multi_label=True, extra={"temperature": 1.7})
    model = swinkit.load(tmp_path / "trained")
    assert decoder_of(model) == ClassificationDecoder(("a", "b", "c"), True, 1.7)
    monkeypatch.setitem(TASKS, "juggling", Parts("nowhere:Learned", "classification:ClassificationDecoder"))
    monkeypatch.setattr(
        ClassificationDecoder, "__call__", lambda self, outputs, sources, embeddings: [f"{name} juggled" for name in sources]
    )
    model.task = "juggling"
    picture = torch.zeros(1, 16, 16)
    assert swinkit.Predictor(model)([picture, picture]) == ["None juggled"] * 2


def test_a_network_without_classes_gives_no_answers(tmp_path):
    with pytest.raises(UsageError, match="knows no classes"):
        decoder_of(tiny())
    save_model(SimMIM(tiny(classes=0).config, Masking(cell=4)), tmp_path, task="pretraining")
    with pytest.raises(UsageError, match=r"pre-trained without labels.*swinkit train DATA --init"):
        swinkit.Predictor(tmp_path)


def test_another_size_keeps_the_weights_while_the_windows_stay(tmp_path):
    swinkit.save(tiny(), tmp_path)
    larger = swinkit.load(tmp_path, image_size=32)
    assert larger.config.image_size == (32, 32)
    assert larger.preprocessing.size == (32, 32)
    assert larger.metadata.get("doubts", []) == []


@pytest.mark.parametrize("own", [True, False])
def test_where_windows_change_a_model_of_any_origin_has_its_tables_resized_and_says_so(own, tmp_path):
    model = tiny()
    if own:
        swinkit.save(model, tmp_path)
    else:
        write_safetensors(tmp_path / "model.safetensors", export(model.state_dict(), model.config, DIALECTS["transformers"]))
        (tmp_path / "config.json").write_text(json.dumps(transformers.write(model.config, "abc")))
    smaller = swinkit.load(tmp_path, image_size=8)
    table = "backbone.stages.1.blocks.0.attention.bias.table"
    expected = bicubic(model.state_dict()[table], (4, 4), (2, 2))
    assert torch.equal(smaller.state_dict()[table], expected)
    (doubt,) = smaller.metadata["doubts"]
    assert "At 8x8 pixels instead of 16x16 stage 2 has windows of 2x2 tokens instead of 4x4" in doubt
    assert doubt in smaller.metadata["notes"]
    again = swinkit.load(save_pretrained(smaller, tmp_path / "saved"), image_size=16)
    assert [one for one in again.metadata["doubts"] if "8x8 pixels instead of 16x16" in one] == []


def test_what_an_author_calls_notes_is_none_of_loading(tmp_path):
    save_pretrained(tiny(), tmp_path, extra={"notes": "trained on cats", "doubts": 3})
    assert swinkit.load(tmp_path).metadata["notes"] == "trained on cats"
    assert len(swinkit.load(tmp_path, image_size=8).metadata["notes"]) == 1


def test_what_cannot_be_loaded_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SWINKIT_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="no model at"):
        swinkit.load(tmp_path / "absent")
    with pytest.raises(WeightsError, match=r"hf-hub.*not in the cache"):
        swinkit.load("hf-hub:microsoft/swin-tiny-patch4-window7-224")
    with pytest.raises(UsageError, match="Did you mean"):
        swinkit.create_model("swin_tinny_patch4_window7_224")
    with pytest.raises(UsageError, match="Known: classification"):
        find_task("juggling")


def test_who_asks_for_published_weights_as_elsewhere_is_told_how_it_is_here():
    with pytest.raises(UsageError, match=r"swinkit\.load\(.hf-hub:"):
        swinkit.create_model("swin_nano", pretrained=True)
