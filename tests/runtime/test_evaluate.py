"""Judging a model: labels by name, whatever their order, the very answers of the predictor, and what cannot be judged."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import swinkit
from swinkit.data.collection import Collection, Sample
from swinkit.errors import DataError, SwinkitError
from swinkit.runtime.evaluate import evaluate, match_classes

from .conftest import CLASSES
from .pictures import SIDE


@pytest.fixture(scope="module")
def model(model_folder):
    return swinkit.load(model_folder)


def collection(classes=CLASSES, count=12, multi_label=False, seed=0):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    samples = tuple(Sample(f"{index}.png", (index % len(classes),)) for index in range(count))
    return Collection(Path("/pictures"), "folders", "for a test", tuple(classes), samples, multi_label, pixels=pixels)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_answers_are_the_predictors_in_the_order_of_the_indices(temperature, model_folder):
    model, data = swinkit.load(model_folder), collection()
    model.metadata = {"temperature": temperature}
    predictor = swinkit.Predictor(model, precision="float32")
    judged = evaluate(model, data, [7, 2, 11], batch_size=2)
    assert judged.indices.tolist() == [7, 2, 11]
    assert judged.sources == ["7.png", "2.png", "11.png"]
    answers = predictor([data.read(index) for index in (7, 2, 11)])
    np.testing.assert_allclose(judged.probabilities, [answer.probabilities for answer in answers], atol=1e-5)


def test_classes_are_matched_by_name(model):
    plain, shuffled = collection(), collection(CLASSES[::-1])
    same = evaluate(model, plain).truth
    assert np.array_equal(evaluate(model, shuffled).truth, len(CLASSES) - 1 - same)
    assert match_classes(CLASSES, collection(CLASSES[1:3])).tolist() == [1, 2]


def test_an_unknown_class_is_named_with_the_known_ones(model):
    with pytest.raises(DataError, match=r"does not know: 'sandal'\. It knows: 'ankle boot'"):
        evaluate(model, collection((*CLASSES, "sandal")))


def test_classes_of_one_name_keep_their_places_or_are_refused(model_folder):
    model, data = swinkit.load(model_folder), collection()
    model.classes = ("crane", "crane", *CLASSES[2:])
    same = dataclasses.replace(data, classes=model.classes)
    assert np.array_equal(evaluate(model, same).truth, data.label_matrix(range(len(data))))
    with pytest.raises(DataError, match=r"several outputs of the model: 'crane'\. .*Mend"):
        match_classes(model.classes, collection(("crane", CLASSES[2])))
    assert match_classes(model.classes, collection(CLASSES[2:])).tolist() == list(range(2, len(CLASSES)))


def test_unlabelled_pictures_are_left_out_and_none_at_all_is_an_error(model):
    data = collection()
    bare = [dataclasses.replace(sample, labels=()) for sample in data.samples]
    mixed = dataclasses.replace(data, samples=(*data.samples[:4], *bare[4:]))
    assert evaluate(model, mixed).indices.tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match="none of the chosen pictures has a label"):
        evaluate(model, dataclasses.replace(data, samples=tuple(bare)))


def test_answers_that_are_not_finite_are_not_judged(model_folder):
    broken = swinkit.load(model_folder)
    broken.head.bias.data[0] = float("nan")
    with pytest.raises(SwinkitError, match=r"not finite for 12 of 12 pictures, 0\.png for one.*Mend"):
        evaluate(broken, collection())


def test_several_labels_need_a_model_of_several(model, model_folder):
    with pytest.raises(DataError, match="several labels per picture"):
        evaluate(model, collection(multi_label=True))
    several = swinkit.load(model_folder)
    several.multi_label = True
    judged = evaluate(several, collection(multi_label=True))
    assert judged.multi_label
    assert judged.truth.sum(axis=1).tolist() == [1] * 12
    assert evaluate(several, collection()).truth.dtype == bool


def test_progress_ends_at_the_number_of_pictures(model):
    told = []
    evaluate(model, collection(), batch_size=5, progress=lambda done, total: told.append((done, total)))
    assert told == [(5, 12), (10, 12), (12, 12)]
