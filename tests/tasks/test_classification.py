import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from swinkit.tasks.classification import (
    ClassificationDecoder,
    ClassificationTask,
    Mixed,
    balancing_weights,
    blend,
    cut_and_paste,
    cut_box,
)


def task(multi_label=False, **settings):
    chosen = SimpleNamespace(**{"label_smoothing": 0.0, "mixup": 0.0, "cutmix": 0.0, **settings})
    return ClassificationTask(("cat", "dog", "owl"), multi_label, chosen)


def batch(labels, size=4):
    labels = torch.tensor(labels)
    count = len(labels)
    return SimpleNamespace(images=torch.rand(count, 1, size, size), labels=labels, indices=torch.arange(count), __len__=count)


def test_without_mixing_the_loss_is_cross_entropy():
    logits = torch.randn(4, 3)
    labels = [0, 2, 1, 1]
    learner = task()
    loss = learner.loss(lambda _: logits, learner.mix(batch(labels)))
    assert loss.item() == pytest.approx(nn.functional.cross_entropy(logits, torch.tensor(labels)).item(), rel=1e-6)


def test_smoothing_is_torchs():
    logits, labels = torch.randn(4, 3), [0, 2, 1, 1]
    learner = task(label_smoothing=0.2)
    loss = learner.loss(lambda _: logits, learner.mix(batch(labels)))
    expected = nn.functional.cross_entropy(logits, torch.tensor(labels), label_smoothing=0.2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_several_labels_use_a_sigmoid_each():
    logits, labels = torch.randn(2, 3), [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    learner = task(multi_label=True)
    loss = learner.loss(lambda _: logits, learner.mix(batch(labels)))
    assert loss.item() == pytest.approx(nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(labels)).item())


def test_exclusive_classes_share_one_and_several_labels_do_not():
    logits = torch.tensor([[5.0, -5.0, 5.0], [1.0, 2.0, 0.0]])
    exclusive, several = (ClassificationDecoder(("cat", "dog", "owl"), multi_label) for multi_label in (False, True))
    first, second = exclusive(logits, ["a.png", None])
    assert (second.label, second.source, first.source) == ("dog", None, "a.png")
    assert second.probabilities == pytest.approx([math.exp(x) / sum(map(math.exp, (1, 2, 0))) for x in (1, 2, 0)])
    assert sorted(several(logits, ["a", "b"])[0].labels) == ["cat", "owl"]
    assert several(logits, ["a", "b"])[1].probabilities == pytest.approx([1 / (1 + math.exp(-x)) for x in (1, 2, 0)])


def test_the_temperature_divides_logits_and_embeddings_go_along():
    logits = torch.tensor([[4.0, 0.0, 2.0]])
    (answer,) = ClassificationDecoder(("cat", "dog", "owl"), temperature=2.0)(logits, ["x"], [[1.0, 2.0]])
    (halved,) = ClassificationDecoder(("cat", "dog", "owl"))(logits / 2, ["x"])
    assert answer.probabilities == halved.probabilities
    assert (answer.embedding, halved.embedding) == ([1.0, 2.0], None)


def test_what_is_not_finite_is_no_answer_and_spares_its_neighbours():
    broken, whole = ClassificationDecoder(("cat", "dog"))(torch.tensor([[float("nan"), 0.0], [0.0, 1.0]]), ["x", "y"])
    assert not broken.ok
    assert broken.source == "x"
    assert whole.label == "dog"


@pytest.mark.parametrize("mixing", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_targets_are_probabilities_and_depend_on_the_generator_alone(mixing):
    learner, pictures = task(**mixing), batch([0, 1, 2, 0, 1])
    torch.manual_seed(3)
    first = learner.mix(pictures)
    torch.manual_seed(3)
    second = learner.mix(pictures)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.targets, second.targets)
    assert torch.allclose(first.targets.sum(dim=1), torch.ones(5))
    assert not torch.equal(first.images, pictures.images)


def test_cutmix_weighs_targets_by_the_pixels_that_stayed():
    torch.manual_seed(0)
    images = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 16, 16)  # picture k is all k
    mixed = Mixed(images, torch.eye(2), torch.arange(2))
    for _ in range(20):
        answer = cut_and_paste(mixed, 0.5)
        assert torch.allclose(answer.images[0].mean(), answer.targets[0, 1], atol=1e-6)


def test_mixup_blends_pictures_and_targets_alike():
    torch.manual_seed(1)
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    answer = blend(Mixed(images, torch.eye(3), torch.arange(3)), 0.7)
    assert torch.allclose(answer.images.mean(dim=(1, 2, 3)), answer.targets @ torch.arange(3.0), atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_cut_box_lies_inside_and_covers_no_more_than_its_share(height, width, share, row, column):
    top, bottom, left, right = cut_box(height, width, share, (row, column))
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    side = (1 - share) ** 0.5
    assert (bottom - top) * (right - left) <= (side * height + 1) * (side * width + 1)


def test_the_meter_counts():
    meter = task().meter()
    logits = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0], [3.0, 0.0, 0.0]])
    for part in (slice(0, 3), slice(3, 4)):
        meter.update(lambda _, part=part: logits[part], SimpleNamespace(images=None, labels=torch.tensor([0, 1, 2, 2])[part]))
    assert meter.compute()["top1"] == pytest.approx(0.75)


def test_rare_classes_weigh_more_and_the_mean_over_pictures_is_one():
    labels = np.array([0] * 16 + [1] * 4 + [2])
    weights = balancing_weights(labels, 3, multi_label=False)
    assert weights[2] > weights[1] > weights[0]
    assert weights[torch.from_numpy(labels)].mean().item() == pytest.approx(1.0)
    assert (weights[2] / weights[0]).item() == pytest.approx(4.0)


def test_scores_that_are_too_sure_are_cooled_and_few_mistakes_leave_them():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (400,), generator=generator)
    honest = nn.functional.one_hot(labels, 3) * 1.5 + torch.randn(400, 3, generator=generator)
    meter = task().meter()
    meter.update(lambda _: honest * 4, SimpleNamespace(images=None, labels=labels))
    warm = task().meter()
    warm.update(lambda _: honest, SimpleNamespace(images=None, labels=labels))
    assert meter.calibration()["temperature"] == pytest.approx(4 * warm.calibration()["temperature"], rel=1e-3)
    right = task().meter()
    right.update(lambda _: nn.functional.one_hot(labels, 3) * 5.0, SimpleNamespace(images=None, labels=labels))
    assert right.calibration() == {}
