"""A tiny model with distinct answers, and a memory of engines that is empty."""

import pytest
import torch

import swinkit
from swinkit.preprocessing import Preprocessing
from swinkit.runtime import choices
from swinkit.weights.files import save_model

from .pictures import SIDE

CLASSES = ("ankle boot", "bag", "coat", "dress", "=shirt")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A saved classifier of 16x16 RGB pictures; its head is scaled up so that pictures get different answers."""
    torch.manual_seed(0)
    sizes = {"embed_dim": 12, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
    model = swinkit.create_model("swin_nano", num_classes=len(CLASSES), image_size=SIDE, **sizes)
    with torch.no_grad():
        model.head.weight.mul_(100)
    folder = tmp_path_factory.mktemp("model")
    save_model(model, folder, classes=CLASSES, preprocessing=Preprocessing(size=(SIDE, SIDE), resize="squash"))
    return folder


@pytest.fixture(scope="session")
def predictor(model_folder):
    return swinkit.Predictor(str(model_folder), batch_size=8, precision="float32")


@pytest.fixture
def own_memory(monkeypatch, tmp_path):
    """What was found fastest before is not known here; compiled kernels are."""
    monkeypatch.setattr(choices, "cache_folder", lambda: tmp_path / "kernels")
