"""Figures, order of mistakes, gates and plain values of an evaluation."""

import json

import numpy as np
import pytest
import torch

from swinkit.errors import GateError, UsageError
from swinkit.report.contents import headlines
from swinkit.tasks.classification import ClassificationMeter
from swinkit.tasks.evaluation import MultiLabel, SingleLabel
from swinkit.tasks.figures import figure_names


def single(truth, logits, classes=None):
    logits = np.asarray(logits, np.float32)
    classes = classes or tuple(f"c{index}" for index in range(logits.shape[1]))
    return SingleLabel(
        classes, logits, np.asarray(truth), np.arange(len(truth)), [f"{index}.png" for index in range(len(truth))]
    )


def several(truth, logits):
    logits, truth = np.asarray(logits, np.float32), np.asarray(truth, bool)
    return MultiLabel(("a", "b"), logits, truth, np.arange(len(truth)), [f"{index}.png" for index in range(len(truth))])


@pytest.fixture
def drawn():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 8, 400)
    return single(truth, generator.normal(size=(400, 8)) + 2.5 * np.eye(8)[truth])


def test_figures_hold_their_values_within_their_intervals(drawn):
    assert drawn.figures["top1"].value == (drawn.logits.argmax(1) == drawn.truth).mean()
    for name in ("top1", "top5", "macro_f1"):
        figure = drawn.figures[name]
        assert figure.low < figure.value < figure.high
        assert figure.high - figure.low < 0.12
    assert drawn.figures["loss"].value == pytest.approx(
        -np.log(drawn.probabilities[np.arange(400), drawn.truth]).mean(), rel=1e-9
    )


@pytest.mark.parametrize("answers", [np.eye(3)[[0, 1, 2] * 5], np.eye(3)[[1, 2, 0] * 5]])
def test_where_all_or_none_are_right_mean_f1_and_map_say_that_they_have_no_interval(answers):
    truth = np.arange(15) % 3
    alone, together = single(truth, answers), several(np.eye(3, dtype=bool)[truth][:, :2], 8 * np.eye(3)[truth][:, :2] - 4)
    assert alone.figures["top1"].low < alone.figures["top1"].high
    for evaluation, name in ((alone, "macro_f1"), (together, "map")):
        told = evaluation.to_dict()["figures"]
        assert (told[name]["low"], told[name]["high"]) == (None, None)
        assert told[name]["note"].startswith("no interval")
    assert {headline.name: headline.interval for headline in headlines(alone)}["Macro F1"].startswith("no interval")


def test_top5_is_left_out_where_it_says_nothing():
    assert "top5" not in single([0, 1, 2], np.eye(3)).figures


def test_mistakes_come_worst_first_and_are_all_wrong():
    evaluation = single([0, 0, 1, 1], [[0, 1], [0, 9], [0, 5], [3, 0]])
    assert evaluation.mistakes(10).tolist() == [1, 3, 0]
    assert evaluation.mistakes(1).tolist() == [1]


def test_right_answers_show_every_class_before_any_twice(drawn):
    rows = drawn.right_answers(8)
    assert (drawn.predicted[rows] == drawn.truth[rows]).all()
    assert sorted(drawn.truth[rows]) == list(range(8))
    assert len(set(drawn.right_answers(1000).tolist())) == int((drawn.predicted == drawn.truth).sum())


def test_scaling_mends_a_model_that_is_too_sure():
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 4, 1000)
    evaluation = single(truth, 6 * (generator.normal(size=(1000, 4)) + np.eye(4)[truth]))
    assert evaluation.temperature > 3
    assert evaluation.figures["ece"].value > 0.25
    assert evaluation.figures["ece_scaled"].value < 0.06


def test_one_picture_and_certain_logits_do_not_break_it():
    evaluation = single([1], [[1000.0, -1000.0]])
    assert evaluation.figures["top1"].value == 0
    assert np.isfinite(evaluation.figures["loss"].value)
    assert evaluation.mistakes(3).tolist() == [0]
    assert evaluation.right_answers(3).tolist() == []


@pytest.mark.parametrize(
    ("count", "mistakes", "unknown"),
    [(12, 0, "too few pictures (12)"), (99, 40, "too few pictures (99)"), (100, 9, "too few mistakes (9)"), (100, 10, None)],
)
def test_what_is_too_little_to_calibrate_gives_no_figure(count, mistakes, unknown):
    truth = np.arange(count) % 2
    evaluation = single(truth, 4.0 * np.eye(2)[np.where(np.arange(count) < mistakes, 1 - truth, truth)])
    told = evaluation.to_dict()
    assert (
        (told["figures"]["temperature"]["value"] is None) == (told["figures"]["ece_scaled"]["value"] is None) == bool(unknown)
    )
    assert (told["figures"]["ece"]["value"] is None) == (count < 100)
    assert bool(told["uncalibrated"]) == bool(unknown)
    if unknown:
        assert told["uncalibrated"]["temperature"].startswith(unknown)
        with pytest.raises(GateError, match="ece_scaled is not known, required: at most 1"):
            evaluation.require({"ece_scaled": 1.0})


def test_names_of_figures_are_known_before_there_is_one(drawn):
    for evaluation in (drawn, single([0, 1], np.eye(2)), several([[1, 0]], [[2, -2]])):
        assert tuple(evaluation.figures) == figure_names(len(evaluation.classes), evaluation.multi_label)


def test_gate_says_what_was_required_and_reached(drawn):
    drawn.require({"top1": 0.5, "ece": 0.5})
    with pytest.raises(GateError, match=r"top1 is 0\.\d{4}, required: at least 0\.99") as caught:
        drawn.require({"top1": 0.99, "loss": 0.0})
    assert "loss is" in str(caught.value)
    assert "at most 0" in str(caught.value)
    assert caught.value.exit_code == 4
    with pytest.raises(UsageError, match=r"no figure 'top9'.*top1"):
        drawn.require({"top9": 0.1})


def test_an_unknown_figure_never_passes_its_gate():
    evaluation = several([[False, False]], [[-1.0, -1.0]])
    assert np.isnan(evaluation.figures["map"].value)
    with pytest.raises(GateError):
        evaluation.require({"map": 0.0})


def test_multi_label_figures_and_mistakes():
    evaluation = several([[1, 0], [1, 1], [0, 1]], [[2, -2], [3, -1], [1, 4]])
    assert evaluation.figures["exact"].value == pytest.approx(1 / 3)
    assert evaluation.figures["micro_f1"].value == pytest.approx(2 * 3 / (4 + 4))
    assert evaluation.figures["map"].value == pytest.approx((1 + 1) / 2)
    assert evaluation.mistakes(5).tolist() == [1, 2]
    assert evaluation.to_dict()["classes"][0]["average_precision"] == 1


def test_training_and_evaluation_rank_sure_answers_alike():
    """Where a sigmoid rounds to 1 and a softmax to 0 in float32, so that pictures would come level that the logits tell apart."""
    sure = np.array([[25, -25], [20, -20], [22, 25], [18, -18]], np.float32)
    truth = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], bool)
    many, first = np.array([[25, -100, -90, -95, -105, -110, -85]] * 7, np.float32), np.arange(7)
    for answers, logits, labels, names in (
        (several(truth, sure), sure, truth.astype(np.float32), ("map",)),
        (single(first, many), many, first, ("top1", "top5")),
    ):
        meter = ClassificationMeter(answers.multi_label)
        meter.logits, meter.labels = [torch.from_numpy(logits)], [torch.from_numpy(labels)]
        assert [meter.compute()[name] for name in names] == [answers.figures[name].value for name in names]
    assert several(truth, sure).figures["map"].value == pytest.approx((1 + 5 / 6) / 2)
    assert single(first, many).figures["top5"].value == pytest.approx(5 / 7)


def test_plain_values_survive_strict_json():
    evaluation = single([0, 0], [[1, 0, 0], [0, 1, 0]])
    plain = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert plain["pictures"] == 2
    assert plain["classes"][2] == {
        "class": "c2", "precision": None, "recall": None, "f1": None, "support": 0, "predicted": 0,
    }  # fmt: skip
    assert plain["confusion"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
