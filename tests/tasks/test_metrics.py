"""The metrics against scikit-learn, against hand-made cases, and against their own definitions."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit.tasks import metrics


def random_case(seed, n=60, classes=5, ties=False):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, classes)) * 2
    probabilities = metrics.softmax(logits)
    if ties:
        probabilities = np.round(probabilities, 1)
    return logits, probabilities, generator.integers(0, classes, n)


@given(st.integers(0, 10_000), st.integers(2, 7), st.booleans())
@settings(max_examples=40, deadline=None)
def test_top_k_ranks_equal_scores_in_class_order(seed, classes, ties):
    _, scores, labels = random_case(seed, classes=classes, ties=ties)
    ranks = np.argsort(-scores, axis=1, kind="stable")
    for k in range(1, classes + 1):
        expected = (ranks[:, :k] == labels[:, None]).any(axis=1)
        assert np.array_equal(metrics.top_k_hits(scores, labels, k), expected)
    assert np.array_equal(metrics.top_k_hits(scores, labels, 1), scores.argmax(1) == labels)


def test_constant_scores_earn_no_top_one():
    labels = np.array([0, 1, 2, 3])
    assert metrics.top_k_hits(np.full((4, 4), 0.25), labels).tolist() == [True, False, False, False]
    for k in (1, 3):  # what is no number is no answer, so a network that is broken is not taken for the best
        assert not metrics.top_k_hits(np.full((4, 4), np.nan), labels, k).any()


@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_class_scores_agree_with_scikit_learn(seed, classes, n):
    sklearn = pytest.importorskip("sklearn.metrics")
    _, scores, labels = random_case(seed, n, classes)
    predicted = scores.argmax(1)
    matrix = metrics.confusion(labels, predicted, classes)
    assert np.array_equal(matrix, sklearn.confusion_matrix(labels, predicted, labels=range(classes)))
    ours = metrics.class_scores(matrix)
    theirs = sklearn.precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=np.nan)
    for mine, other in zip((ours.precision, ours.recall, ours.f1, ours.support), theirs, strict=True):
        np.testing.assert_allclose(mine, other, equal_nan=True)
    present = np.unique(labels)  # a class that was only predicted is no part of the mean, as of balanced accuracy's
    assert ours.macro_f1 == pytest.approx(sklearn.f1_score(labels, predicted, average="macro", labels=present, zero_division=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes predicted and absent
        assert ours.balanced_accuracy == pytest.approx(sklearn.balanced_accuracy_score(labels, predicted))


def test_what_cannot_be_known_is_nan_and_never_zero():
    scores = metrics.class_scores(np.array([[3, 0, 0], [1, 0, 0], [0, 0, 0]]))
    assert math.isnan(scores.precision[1])
    assert scores.recall[1] == 0
    assert np.isnan([scores.precision[2], scores.recall[2], scores.f1[2]]).all()
    assert scores.balanced_accuracy == 0.5


def test_figures_of_part_of_the_classes_leave_out_those_that_were_only_predicted():
    scores = metrics.class_scores(np.array([[3, 0, 1], [0, 4, 0], [0, 0, 0]]))
    assert scores.macro_f1 == pytest.approx((6 / 7 + 1) / 2)
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 1) / 2)
    said, truth = np.array([[0.9, 0.9], [0.9, 0.1]]), np.array([[True, False], [True, False]])
    assert metrics.label_scores(said, truth).macro_f1 == 1


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_average_precision_agrees_with_scikit_learn(seed, ties):
    sklearn = pytest.importorskip("sklearn.metrics")
    _, scores, _ = random_case(seed, n=30, ties=ties)
    truth = np.random.default_rng(seed + 1).random(scores.shape) < 0.3
    truth[0] = True
    expected = [sklearn.average_precision_score(truth[:, index], scores[:, index]) for index in range(scores.shape[1])]
    np.testing.assert_allclose(metrics.average_precision(scores, truth), expected)


def test_weights_count_a_picture_so_many_times():
    _, scores, _ = random_case(5, n=25, ties=True)
    truth = np.random.default_rng(6).random(scores.shape) < 0.3
    drawn = np.random.default_rng(7).integers(0, 25, (3, 25))
    weights = np.array([np.bincount(rows, minlength=25) for rows in drawn])
    expected = [metrics.average_precision(scores[rows], truth[rows]) for rows in drawn]
    np.testing.assert_allclose(metrics.average_precision(scores, truth, weights), expected)


def test_average_precision_of_an_absent_class_is_unknown_and_left_out_of_the_mean():
    truth = np.array([[True, False], [False, False]])
    found = metrics.average_precision(np.array([[0.9, 0.1], [0.2, 0.8]]), truth)
    assert found[0] == 1
    assert math.isnan(found[1])
    assert metrics.mean_known(found) == 1


def test_label_scores_count_the_threshold_as_reached():
    scores = metrics.label_scores(np.array([[0.5, 0.4], [0.6, 0.7]]), np.array([[True, True], [False, True]]))
    assert scores.precision.tolist() == [0.5, 1]
    assert scores.recall.tolist() == [1, 0.5]
    assert scores.predicted.tolist() == [2, 1]


def test_reliability_by_hand():
    bins = metrics.reliability(np.array([0.2, 0.5, 0.55, 1.0, 0.0]), np.array([False, True, False, True, False]), bins=2)
    assert bins.count.tolist() == [3, 2]  # 0.5 belongs to the lower bin: (low, high]
    np.testing.assert_allclose(bins.accuracy, [1 / 3, 1 / 2])
    np.testing.assert_allclose(bins.confidence, [0.7 / 3, 1.55 / 2])
    assert bins.ece == pytest.approx(0.6 * abs(1 / 3 - 0.7 / 3) + 0.4 * abs(0.5 - 0.775))


def test_ece_agrees_with_torchmetrics():
    torch = pytest.importorskip("torch")
    from torchmetrics.functional import calibration_error

    _, scores, labels = random_case(3, 400)
    ours = metrics.reliability(scores.max(1), scores.argmax(1) == labels).ece
    theirs = calibration_error(torch.tensor(scores), torch.tensor(labels), task="multiclass", num_classes=5, n_bins=15)
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_empty_bins_weigh_nothing():
    assert metrics.reliability(np.array([1.0, 1.0]), np.array([True, True])).ece == 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_fitted_temperature_recovers_the_one_that_drew_the_labels(temperature):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 4)) * 3
    chances = metrics.softmax(logits, temperature).cumsum(axis=1)
    labels = (generator.random((20_000, 1)) > chances).sum(axis=1)
    assert metrics.fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_fitted_temperature_is_the_likeliest_and_ignores_a_shift_of_the_logits():
    logits, _, labels = random_case(7, 300)
    labels[:200] = logits[:200].argmax(axis=1)
    fitted = metrics.fit_temperature(logits, labels)

    def likelihood(temperature):
        return np.log(metrics.softmax(logits, temperature)[np.arange(len(labels)), labels]).mean()

    assert likelihood(fitted) >= max(likelihood(fitted * 0.97), likelihood(fitted * 1.03))
    assert metrics.fit_temperature(logits + 100, labels) == pytest.approx(fitted)


def test_temperature_of_perfect_answers_stays_finite():
    labels = np.array([0, 1, 2])
    assert metrics.fit_temperature(np.eye(3) * 9, labels) == pytest.approx(0.05)


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        hits = generator.random(80) < 0.7
        interval = metrics.share_interval(hits, seed=trial)
        covered += interval.low <= 0.7 <= interval.high
    assert 180 <= covered <= 198


def test_share_interval_is_the_general_bootstrap_of_the_mean():
    hits = np.arange(200) % 5 != 0
    quick, general = metrics.share_interval(hits), metrics.bootstrap(lambda drawn: hits[drawn].mean(), len(hits))
    assert quick.low == pytest.approx(general.low, abs=0.015)
    assert quick.high == pytest.approx(general.high, abs=0.015)


def test_all_right_is_not_certainty():
    interval = metrics.share_interval(np.ones(20, bool))
    assert interval.high == 1
    assert interval.low == pytest.approx(0.839, abs=0.001)
    assert metrics.share_interval(np.zeros(20, bool)).high == pytest.approx(0.161, abs=0.001)


@given(st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_the_sign_test_is_scipys(better, worse):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert metrics.sign_test(better, worse) == pytest.approx(expected, rel=1e-6)


def test_bootstrap_repeats_with_its_seed():
    values = np.random.default_rng(0).normal(size=50)

    def interval(seed):
        return metrics.bootstrap(lambda drawn: values[drawn].mean(), 50, draws=100, seed=seed)

    assert interval(3) == interval(3)
    assert interval(3) != interval(4)
