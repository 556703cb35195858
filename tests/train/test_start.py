from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import swinkit
from swinkit.config import SwinConfig
from swinkit.data.collection import Collection, Sample
from swinkit.data.fitting import evenly
from swinkit.data.layouts import open_data
from swinkit.errors import UsageError, WeightsError
from swinkit.preprocessing import IMAGENET_MEAN, Preprocessing
from swinkit.tasks import described
from swinkit.train import start as start_module
from swinkit.train.prepare import prepare
from swinkit.train.settings import TrainSettings
from swinkit.train.start import check_channels, gray, open_start, spread_channels, starting_point
from swinkit.weights.saved import fitted

from .pictures import TINY as TINY_RUN
from .pictures import write_pictures

TINY = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4, "patch_size": 2}


def collection(side, channels=1, classes=("a", "b")):
    pixels = np.random.default_rng(0).integers(0, 256, (6, side, side, channels), dtype=np.uint8)
    samples = tuple(Sample(f"p#{index}", (index % len(classes),)) for index in range(6))
    return Collection(Path("."), "idx", "made here", tuple(classes), samples, channels=channels, pixels=pixels)


def begin(pictures, **settings):
    chosen = TrainSettings(**settings)
    file = open_start(chosen)
    return starting_point(chosen, pictures, range(6), fitted(file) if file else None)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    model = swinkit.create_model("swin_nano", num_classes=2, in_channels=1, image_size=16, **TINY)
    look = Preprocessing(size=(16, 16), channels=1, mean=(0.4,), std=(0.2,))
    return swinkit.save(described(model, ("a", "b"), look), tmp_path_factory.mktemp("saved") / "m")


@pytest.mark.parametrize(
    ("side", "device", "name", "size", "patch"),
    [
        (28, "cpu", "swin_nano", 28, 2), (64, "cuda", "swin_nano", 64, 2), (8, "cpu", "swin_nano", 28, 2),
        (200, "cpu", "swin_nano", 112, 4), (200, "cuda", "swin_t", 224, 4),
    ],
)  # fmt: skip
def test_the_network_follows_from_the_pictures_and_the_device(side, device, name, size, patch, monkeypatch):
    monkeypatch.setattr("swinkit.train.start.find_device", torch.device)
    start = begin(collection(side), device=device)
    assert (start.name, start.config.image_size, start.config.patch_size) == (name, (size, size), patch)
    assert (start.config.in_channels, start.config.num_classes) == (1, 2)
    assert start.preprocessing.size == (size, size)


def test_the_window_of_the_small_network_is_the_one_that_pads_least():
    assert begin(collection(28)).config.window_size == (7, 7)
    assert begin(collection(32)).config.window_size == (8, 8)


def test_another_window_of_version_2_is_asked_at_the_offsets_at_which_it_was_trained(tmp_path):
    torch.manual_seed(0)
    model = swinkit.create_model("swin_nano", num_classes=2, in_channels=1, image_size=16, **{**TINY, "version": 2})
    look = Preprocessing(size=(16, 16), channels=1, mean=(0.4,), std=(0.2,))
    swinkit.save(described(model, ("a", "b"), look), tmp_path / "m")
    config = begin(collection(16), model=str(tmp_path / "m"), swin={"window_size": 2}).config
    assert (config.window_size, config.pretrained_window_sizes) == ((2, 2), (4, 4))


def test_statistics_are_imagenets_for_colour_and_measured_for_the_rest():
    assert begin(collection(28, 3)).preprocessing.mean == IMAGENET_MEAN
    pictures = collection(28, 1)
    preprocessing = begin(pictures).preprocessing
    assert preprocessing.mean[0] == pytest.approx(pictures.pixels.mean() / 255, abs=1e-3)
    assert preprocessing.std[0] == pytest.approx(pictures.pixels.std() / 255, abs=1e-3)


def test_what_the_user_gives_wins():
    start = begin(collection(28), model="swinv2_nano", image_size=32, swin={"embed_dim": 24, "num_heads": (2, 4, 8)})
    assert (start.config.version, start.config.image_size, start.config.embed_dim) == (2, (32, 32), 24)


def test_a_saved_model_lends_everything_where_the_classes_are_the_same(saved):
    start = begin(collection(16), model=str(saved))
    model = swinkit.load(saved)
    network = start.network(seed=5, drop_path=0.3)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in model.state_dict().items())
    assert network.config.drop_path_rate == 0.3
    assert start.preprocessing == model.preprocessing


def test_other_classes_get_a_fresh_head_of_their_seed(saved):
    start = begin(collection(16, classes=("x", "y", "z")), model=str(saved))
    assert "3 others" in start.notes[0]
    heads = [start.network(seed, 0.0).head.weight for seed in (1, 1, 2)]
    assert heads[0].shape[0] == 3
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_larger_picture_keeps_each_bias_table_and_where_a_smaller_one_does_not_it_is_told(saved):
    larger = begin(collection(16), model=str(saved), image_size=32)
    assert larger.config.image_size == (32, 32)
    assert larger.notes == ()
    smaller = begin(collection(16), model=str(saved), image_size=8)
    assert any("stage 2 has windows of 2x2 tokens instead of 4x4" in note for note in smaller.notes)
    assert smaller.network(0, 0.0)(torch.zeros(1, 1, 8, 8)).shape[0] == 1


def test_more_channels_spread_the_first_layer(saved):
    start = begin(collection(16, channels=4), model=str(saved))
    assert start.config.in_channels == start.preprocessing.channels == 4
    start.network(0, 0.0)(torch.zeros(1, 4, 16, 16))
    weight, gray = torch.randn(8, 3, 2, 2), torch.rand(1, 1, 4, 4)
    before = torch.conv2d(gray.expand(1, 3, 4, 4), weight, stride=2)
    after = torch.conv2d(gray.expand(1, 5, 4, 4), spread_channels(weight, 5), stride=2)
    assert torch.allclose(before, after, atol=1e-5)


def test_the_channels_of_network_preprocessing_and_pictures_agree():
    start = begin(collection(28, 3), swin={"in_channels": 1})  # gray is wanted of colour
    assert (start.config.in_channels, start.preprocessing.channels, len(start.preprocessing.mean)) == (1, 1, 1)
    assert 0.4 < start.preprocessing.mean[0] < 0.6
    with pytest.raises(
        UsageError,
        match=r"swin.in_channels is 5, and the pictures are read with 3 channels.*leave it out: the pictures say it$",
    ):
        begin(collection(28, 3), swin={"in_channels": 5})
    with pytest.raises(
        UsageError, match=r"say it; more bands or pages than RGB are read of .npy files alone, of shape \(H, W, C\)"
    ):
        check_channels(SwinConfig(in_channels=4), None, Collection(Path(), "folders", "", ("a",), ()))
    one = {"size": (28, 28), "channels": 1, "mean": (0.5,), "std": (0.5,)}
    with pytest.raises(UsageError, match=r"preprocessing.channels is 1, and the network takes 3.*swin.in_channels=1"):
        begin(collection(28, 3), preprocessing=one)


def test_a_part_of_the_preprocessing_leaves_the_rest_as_it_is_chosen(saved):
    for model, side in (("auto", 28), (str(saved), 16)):
        chosen = begin(collection(side), model=model).preprocessing
        bilinear = begin(collection(side), model=model, preprocessing={"interpolation": "bilinear"}).preprocessing
        assert bilinear == chosen.model_copy(update={"interpolation": "bilinear"})


def test_colour_that_a_model_of_one_channel_does_not_see_is_told(saved):
    told = "learned from as gray"
    assert any(told in note for note in begin(collection(16, 3), model=str(saved)).notes)
    assert not any(told in note for note in begin(collection(16, 1), model=str(saved)).notes)


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'swin_nano"):
        open_start(TrainSettings(model="swin_nana"))
    assert open_start(TrainSettings(model="auto")) is None
    assert open_start(TrainSettings(model="swinv2_t")) is None
    assert open_start(TrainSettings(model="swin_nano.fashion_mnist")).state


def test_gray_is_one_channel_or_three_equal_ones(tmp_path):
    (tmp_path / "a").mkdir()
    values = np.random.default_rng(0).integers(0, 256, (2, 8, 8), np.uint8)
    for number in range(2):
        Image.fromarray(values[number]).save(tmp_path / "a" / f"{number}.png")
    assert gray(collection(8, 1), range(6))
    assert not gray(collection(8, 3), range(6))
    assert not gray(collection(8, 2), range(6))
    stored = open_data(tmp_path)
    assert stored.channels == 3
    assert gray(stored, range(2))
    Image.fromarray(np.dstack([values[0], values[0], values[1]])).save(tmp_path / "a" / "1.png")
    assert not gray(open_data(tmp_path), range(2))


@pytest.mark.parametrize("model", ["auto", "saved"])
def test_the_pictures_say_how_many_classes_there_are_whatever_another_runs_settings_say(model, saved):
    name = str(saved) if model == "saved" else model
    start = begin(collection(16, classes=("a", "b", "c")), model=name, swin={**TINY, "num_classes": 2})
    assert start.config.num_classes == 3
    assert start.network(0, 0.0).head.out_features == 3


def test_an_architecture_that_saved_weights_do_not_fit_is_told_in_a_line(saved):
    start = begin(collection(16), model=str(saved), swin={"embed_dim": 16})
    with pytest.raises(UsageError, match=r"weights of another shape than the settings swin") as caught:
        start.network(0, 0.0)
    assert len(str(caught.value)) < 400


def test_a_file_that_cannot_be_read_is_refused_before_every_picture_is_looked_at(tmp_path):
    broken = tmp_path / "swin.safetensors"
    broken.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"swin\.safetensors"):
        open_start(TrainSettings(model=str(broken)))


def test_a_model_is_read_once_before_the_pictures_are_looked_at(saved, tmp_path, monkeypatch):
    told, read = [], start_module.open_unfitted
    monkeypatch.setattr(start_module, "open_unfitted", lambda *given, **more: told.append("model") or read(*given, **more))
    write_pictures(tmp_path / "rows")
    settings = {**TINY_RUN, "data": str(tmp_path / "rows"), "model": str(saved), "image_size": 16, "swin": None}
    prepare(TrainSettings(**settings), progress=lambda done, _: told.append("picture"))
    assert told == ["model", *["picture"] * 48]


@pytest.mark.parametrize("count", [1, 64, 65, 100, 127, 640, 6401])
def test_some_pictures_are_spread_over_all(count):
    """A set lies class by class, so the first ones alone say nothing of the last class."""
    chosen = evenly(range(count))
    assert len(chosen) == len(set(chosen)) == min(count, 64)
    assert chosen[0] == 0
    assert count - chosen[-1] <= -(-count // 64)
