import math
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from swinkit.data.augment import Augmentation
from swinkit.tasks import TASKS
from swinkit.train.recipe import recipe_of
from swinkit.train.settings import MAKING, DataFacts, LearnedFrom, PretrainSettings, RunSettings, TrainSettings, settle

BEGINNINGS = get_args(LearnedFrom)

MEASURED = {
    "precision",
    "threads",
    "workers",
    "image_size",
    "swin",
    "preprocessing",
    "data",
    "format",
    "val",
    "per_class",
    "folds",
    "fold",
    "time_limit",
}


@settings(deadline=None, max_examples=40)
@given(st.integers(8, 2_000_000), st.sampled_from([28, 64, 224]), st.sampled_from(BEGINNINGS), st.sampled_from([1, 3, 4]))
def test_settling_leaves_nothing_open_but_what_is_measured_or_found(pictures, side, learned_from, channels):
    settled = settle(TrainSettings(), DataFacts(pictures, pictures // 10, side, channels), learned_from)
    open_still = {name for name, value in settled.model_dump().items() if value is None}
    assert open_still <= MEASURED
    assert settled.batch_size <= pictures
    assert settled == settle(settled, DataFacts(pictures, pictures // 10, side, channels), learned_from)


def test_what_is_given_stays():
    given_settings = TrainSettings(epochs=7, lr=0.5, mixup=0.0, batch_size=4)
    settled = settle(given_settings, DataFacts(300, 30, 28, 1), "nothing")
    assert (settled.epochs, settled.lr, settled.mixup, settled.batch_size) == (7, 0.5, 0.0, 4)


def test_small_sets_get_more_passes_and_more_mixing_than_large_ones():
    small = settle(TrainSettings(), DataFacts(300, 30, 28, 1), "nothing")
    large = settle(TrainSettings(), DataFacts(60_000, 5000, 28, 1), "nothing")
    assert small.epochs > 5 * large.epochs
    assert small.cutmix > large.cutmix
    assert (small.keep, large.keep) == ("last", "best")  # 30 pictures cannot tell which epoch was best


def test_fine_tuning_is_shorter_and_spares_the_stem():
    fresh, tuned = (settle(TrainSettings(), DataFacts(300, 30, 224, 3), learned_from) for learned_from in ("nothing", "labels"))
    assert tuned.epochs < fresh.epochs
    assert tuned.lr < fresh.lr
    assert tuned.layer_decay < fresh.layer_decay == 1


def test_small_pictures_are_learned_by_muon_and_all_depths_alike():
    for learned_from in ("nothing", "labels"):
        settled = settle(TrainSettings(), DataFacts(200, 30, 28, 1), learned_from)
        assert (settled.optimizer, settled.layer_decay) == ("muon", 1.0)


def test_runs_of_every_task_are_made_by_something():
    assert MAKING.keys() == TASKS.keys()
    assert all(issubclass(recipe_of(task).settings, RunSettings) for task in MAKING)


@pytest.mark.parametrize("schema", [TrainSettings, PretrainSettings])
def test_what_a_setting_is_called_elsewhere_leads_to_it(schema):
    fields = schema.model_fields.keys()
    assert not schema.also_called.keys() & fields
    assert {name.partition(".")[0] for name in schema.also_called.values()} <= fields


@pytest.mark.parametrize("side", [28, 224])
def test_an_encoder_without_an_idea_of_classes_learns_as_long_as_from_nothing(side):
    fresh, tuned = (
        settle(TrainSettings(), DataFacts(300, 30, side, 3), learned_from) for learned_from in ("nothing", "pictures")
    )
    assert tuned.layer_decay < fresh.layer_decay == 1
    assert tuned.lr == (2 * fresh.lr if side == 28 else fresh.lr)
    assert tuned.model_copy(update={"layer_decay": 1.0, "lr": fresh.lr, "fit_head": False}) == fresh


def test_small_pictures_are_mirrored_only_if_they_have_colour():
    def flip(**facts):
        return settle(TrainSettings(), DataFacts(300, 30, **{"side": 28, "channels": 3, **facts}), "nothing").augment.flip

    assert flip()
    assert not flip(gray=True)  # digits stored as PNG come with three equal channels
    assert not flip(channels=1, gray=True)
    assert flip(gray=True, side=224)  # an X-ray is a photograph


@pytest.mark.parametrize("side", [28, 224])
def test_a_part_of_the_augmentation_leaves_the_rest_as_it_is_chosen(side):
    facts = DataFacts(300, 30, side, 1, gray=True)
    chosen = settle(TrainSettings(), facts, "nothing").augment
    flipped = settle(TrainSettings(augment={"flip": True}), facts, "nothing")
    assert flipped.augment == chosen.model_copy(update={"flip": True})
    assert settle(TrainSettings.model_validate(flipped.model_dump()), facts, "nothing") == flipped
    assert settle(TrainSettings(augment={}), facts, "nothing").augment == Augmentation()  # none, as asked for


def test_whoever_stops_early_gets_the_best_weights():
    facts = DataFacts(300, 30, 28, 1)
    assert settle(TrainSettings(patience=3), facts, "nothing").keep == "best"
    assert settle(TrainSettings(patience=3, keep="last"), facts, "nothing").keep == "last"


def test_a_skew_switches_class_weights_on():
    assert settle(TrainSettings(), DataFacts(300, 30, 28, 1, skew=10), "nothing").class_weights
    assert not settle(TrainSettings(), DataFacts(300, 30, 28, 1, skew=1.5), "nothing").class_weights


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"lr": -1},
        {"ema": 1.0},
        {"keep": "first"},
        {"leraning_rate": 1},
        {"lr": math.inf},
        {"weight_decay": math.inf},
        {"seed": 2**63},
        {"task": "pretraining"},
        {"devices": 2},
        {"fold": 7},
        {"folds": 3, "fold": 3},
        {"time_limit": math.inf},
        {"save_every": math.inf},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        TrainSettings(**wrong)
