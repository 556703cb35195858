"""What type checkers see of swinkit in the code of its users: checked by mypy in ``make lint``, and never run."""

from __future__ import annotations

from typing import assert_type

from torch import Tensor

import swinkit
from swinkit.model.classifier import SwinClassifier
from swinkit.results import Classification, Failure
from swinkit.runtime.predictor import Predictor


def names_have_their_types(images: Tensor) -> None:
    model = swinkit.create_model("swin_nano", num_classes=3)
    assert_type(model, SwinClassifier)
    assert_type(swinkit.load("run"), SwinClassifier)
    assert_type(model.features(images), list[Tensor])
    predictor = swinkit.Predictor("run")
    assert_type(predictor, Predictor)
    assert_type(predictor("boot.png"), Classification | list[Classification | Failure])
    assert_type(swinkit.runtime.predictor.Predictor("run"), Predictor)


def a_square_is_given_as_a_side_and_read_as_a_pair() -> None:
    config = swinkit.SwinConfig(window_size=7, image_size=224)
    assert_type(config.window_size, tuple[int, int])
    assert_type(swinkit.SwinConfig(image_size=(160, 320)).image_size, tuple[int, int])


def mistakes_are_found() -> None:
    swinkit.Trainer  # type: ignore[attr-defined]  # noqa: B018
    swinkit.SwinConfig(windw_size=7)  # type: ignore[call-arg]
    swinkit.SwinConfig(window_size="7")  # type: ignore[arg-type]
