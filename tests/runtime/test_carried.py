"""Predictors that are copied, or carried to another process."""

import copy
import pickle

import pytest
import torch

from swinkit.runtime.predictor import Predictor

from .pictures import SIDE, picture


@pytest.mark.parametrize("carried", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copied", "pickled"])
def test_a_predictor_goes_elsewhere_with_its_model_and_builds_its_engine_there(model_folder, carried):
    first = Predictor(model_folder, image_size=2 * SIDE, batch_size=2)
    expected = first(picture(3))
    second = carried(first)
    assert (second.fingerprint(), second.batch_size) == (first.fingerprint(), 2)
    assert second.preprocessing.size == (2 * SIDE, 2 * SIDE)
    assert second(picture(3)) == expected
    first.batch_size, first.note = 3, "mine"
    assert (carried(first).batch_size, carried(first).note) == (3, "mine")
    changed = carried(first)
    with torch.no_grad():
        changed.model.head.bias[0] += 5
    assert changed(picture(3)).probabilities != expected.probabilities
    assert first(picture(3)) == expected


def test_a_class_of_ones_own_on_a_predictor_is_copied_as_it_is(model_folder):
    class Mine(Predictor):
        def __init__(self, title, model):
            super().__init__(model)
            self.title = title

    mine = copy.deepcopy(Mine("shoes", model_folder))
    assert mine.title == "shoes"
    assert mine(picture(3)) == Predictor(model_folder)(picture(3))
