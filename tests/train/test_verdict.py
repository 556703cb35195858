"""The measurements on a labelled set, and the verdict: what they count, when they are certain, and what is refused before the start."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from swinkit.cli.pages.pretrained import report
from swinkit.errors import DataError, Interrupted
from swinkit.tasks.figures import Figure, share_of
from swinkit.train import pretrain, resume
from swinkit.train.pretraining import announce, go_on
from swinkit.train.run import read_rows
from swinkit.train.settings import PretrainSettings
from swinkit.train.verdict import Rated, Verdict, compared, epochs_in_as_much_time, read_verdict
from swinkit.train.watch import RunWatcher

from .pictures import OPTIONS, scatter, write_pictures
from .running import Heard


def test_the_features_are_measured_and_the_whole_is_weighed(tmp_path, monkeypatch):
    monkeypatch.setattr("swinkit.train.verdict.default_epochs", lambda pictures, fine_tuning: 2)
    data = write_pictures(tmp_path / "stripes", test=30)
    result = pretrain(data, "swin_nano", tmp_path / "run", probe=str(data), **{**OPTIONS, "epochs": 3})
    rows = (result.path / "payoff.csv").read_text().splitlines()
    assert rows[0] == "step,epoch,knn,linear"
    assert [row.split(",")[1] for row in rows[1:]] == ["1", "2", "3"]
    assert result.verdict == read_verdict(result.path)
    assert result.verdict.word in ("worth it", "not yet", "no")
    assert [way.epochs for way in result.verdict.ways][:2] == [2, 2]
    seconds = [float(row["seconds"]) for row in read_rows(result.path / "metrics.csv")]
    assert len(seconds) == 3
    assert result.verdict.minutes == pytest.approx(sum(seconds) / 60)
    assert (result.verdict.labels, result.verdict.judged) == (42, 30)
    configs = [
        yaml.safe_load((result.path / "verdict" / name / "config.yaml").read_text()) for name in ("pretrained", "nothing")
    ]
    assert configs[0]["swin"] == configs[1]["swin"]
    again = resume(result.path)
    assert again.sha256 == result.run.sha256


def test_judged_pictures_that_the_pretraining_saw_are_counted_wherever_the_verdict_stands(tmp_path, monkeypatch):
    monkeypatch.setattr("swinkit.train.verdict.default_epochs", lambda pictures, fine_tuning: 1)
    data = write_pictures(tmp_path / "stripes")
    verdict = pretrain(data, out=tmp_path / "run", probe=str(data), **{**OPTIONS, "epochs": 1}).verdict
    assert 0 < verdict.seen <= verdict.judged
    told = f"{verdict.seen} of the {verdict.judged} judged pictures were seen without labels"
    assert told in str(verdict)
    assert told in report(tmp_path / "run").read_text("utf-8")
    assert read_verdict(tmp_path / "run") == verdict


def test_from_nothing_learns_as_long_as_pretraining_took_and_goes_on_when_interrupted(tmp_path, monkeypatch):
    """The clock of a run is what it wrote down; here each took a minute, so that two are left for the third."""
    monkeypatch.setattr("swinkit.train.verdict.default_epochs", lambda pictures, fine_tuning: 1)
    monkeypatch.setattr("swinkit.train.verdict.minutes_of", lambda run: 1.0)
    data = write_pictures(tmp_path / "stripes", test=30)
    settings = {**OPTIONS, "epochs": 1, "probe": str(data)}
    whole = pretrain(data, "swin_nano", tmp_path / "whole", **settings).verdict
    assert [(way.name, way.epochs) for way in whole.ways] == [
        ("fine-tuned", 1), ("from nothing in as many epochs", 1), ("from nothing in as much time", 2),
    ]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(RunWatcher, "stop", lambda self: "enough" if self.run.path.name == "longer" else None)
        with pytest.raises(Interrupted, match="Stopped in the verdict"):
            pretrain(data, "swin_nano", tmp_path / "run", **settings)
    assert read_verdict(tmp_path / "run") is None
    assert go_on(tmp_path / "run").verdict == whole


@pytest.mark.parametrize(("minutes", "epochs"), [(0, 10), (5, 20), (12, 34), (15, 40), (600, 40)])
def test_as_much_time_from_nothing_has_its_bound(minutes, epochs):
    tuned, nothing = Rated("a", 10, 5, Figure(0.5)), Rated("b", 10, 5, Figure(0.5))
    assert epochs_in_as_much_time(minutes, tuned, nothing) == epochs


def test_epochs_too_short_to_be_timed_are_given_the_most():
    at_once = Rated("a", 10, 0, Figure(0.5))
    assert epochs_in_as_much_time(0, at_once, at_once) == 40


def test_the_fine_tuned_is_compared_with_the_best_from_nothing_and_the_bound_is_said(tmp_path):
    share = {"fine-tuned": 0.9, "from nothing in as many epochs": 0.5, "from nothing in 4 times as many epochs": 0.9}
    hits = [np.arange(100) < 100 * value for value in share.values()]
    ways = [
        Rated(name, epochs, epochs / 10, share_of(right)) for name, epochs, right in zip(share, (10, 10, 40), hits, strict=True)
    ]
    found = replace(compared(hits, ways, 10), minutes=72.0)
    assert (found.word, found.gain.value) == ("not yet", 0)
    assert "90.0% right after 72 min of pre-training, 50.0% from nothing in as many epochs, 90.0% from nothing in 4" in str(
        found
    )
    assert "took 73 min, the longest training from nothing 4 min: more than 4 times the epochs are not tried" in str(found)
    assert not replace(found, minutes=3.0).doubts
    assert Verdict.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert "right after pre-training, " in str(replace(found, minutes=None))  # what an older version recorded


def test_equal_answers_do_not_make_the_verdict_certain():
    right = np.ones(100, bool)
    found = compared([right, right], [Rated(name, 1, 0.1, Figure(1.0)) for name in "ab"], 10)
    assert (found.word, found.gain.value) == ("not yet", 0)
    assert (found.gain.low, found.gain.high) == pytest.approx((-0.037, 0.037), abs=1e-3)


@pytest.mark.parametrize(("share", "word"), [(0.9, "worth it"), (0.5, "not yet"), (0.1, "no")])
def test_the_verdict_needs_certainty(share, word):
    chance = np.random.default_rng(0)
    hits = [chance.random(400) < probability for probability in (share, 0.5)]
    ways = [Rated(name, 1, 0.1, Figure(float(right.mean()))) for name, right in zip("ab", hits, strict=True)]
    found = compared(hits, ways, 10)
    assert found.word == word
    assert found.gain.low <= found.gain.value <= found.gain.high


@pytest.mark.parametrize(("better", "worse", "same", "word"), [
    (5, 0, 0, "not yet"), (6, 0, 0, "worth it"), (4, 0, 96, "not yet"), (0, 5, 95, "not yet"), (0, 6, 94, "no"), (0, 0, 3, "not yet"),
])  # fmt: skip
def test_a_handful_of_pictures_is_no_certainty(better, worse, same, word):
    """Of five coins that differ all fall on one side once in sixteen times."""
    tuned = np.repeat([True, False, True], [better, worse, same])
    nothing = np.repeat([False, True, True], [better, worse, same])
    found = compared([tuned, nothing], [Rated("a", 1, 0.1, Figure(0.5))] * 2, 10)
    assert found.word == word
    assert found.gain.low <= found.gain.value <= found.gain.high


def labelled(folder, **counts):
    """So many pictures of noise in the folder of each class."""
    chance = np.random.default_rng(1)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            Image.fromarray(chance.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    ("counts", "verdict", "said"),
    [
        ({".": 1}, True, "one label each"),
        ({"a": 1, "b": 1}, False, "2 pictures to learn from and 0 to judge"),
        ({"a": 2, "b": 2}, True, "of 4 labelled pictures none can be kept aside"),
        ({"train/a": 3, "test/a": 3, "test/b": 3}, False, "in validation or test only: 'b'"),
    ],
)
def test_a_probe_that_cannot_measure_is_said_at_once(counts, verdict, said, tmp_path):
    data = scatter(tmp_path / "photos")
    bare = labelled(tmp_path / "bare", **counts)
    with pytest.raises(DataError, match=said):
        pretrain(data, "swin_nano", tmp_path / "run", probe=str(bare), verdict=verdict, **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_a_probe_of_other_channels_is_said_before_the_start(tmp_path):
    data, probe = scatter(tmp_path / "fields", channels=4), labelled(tmp_path / "probe", a=8, b=8)
    with pytest.raises(DataError, match="have 3 channels, and the network is to learn from 4"):
        pretrain(data, "swin_nano", tmp_path / "run", probe=str(probe), **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_broken_pictures_of_a_probe_are_left_out_and_a_class_of_many_keeps_its_labels(tmp_path, monkeypatch):
    monkeypatch.setattr("swinkit.train.verdict.default_epochs", lambda pictures, fine_tuning: 1)
    probe = labelled(tmp_path / "probe", many=20, few=4)
    (probe / "many" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    chosen = {**OPTIONS, "epochs": 1, "cache": 0.125}
    result = pretrain(scatter(tmp_path / "photos"), "swin_nano", tmp_path / "run", probe=str(probe), **chosen)
    assert result.verdict.labels + result.verdict.judged == 23
    data = json.loads((result.path / "verdict" / "pretrained" / "data.json").read_text())
    assert len(data["split"]["train"]) == result.verdict.labels
    for way in ("pretrained", "nothing"):  # each computes as the pre-training does
        config = yaml.safe_load((result.path / "verdict" / way / "config.yaml").read_text())
        assert {name: config[name] for name in ("workers", "cache", "threads", "precision")} == {
            name: chosen[name] for name in ("workers", "cache", "threads", "precision")
        }


def test_a_run_that_goes_on_may_leave_the_verdict_out_or_ask_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr("swinkit.train.verdict.default_epochs", lambda pictures, fine_tuning: 1)
    data = write_pictures(tmp_path / "stripes", test=30)
    run = pretrain(data, "swin_nano", tmp_path / "run", probe=str(data), verdict=False, **{**OPTIONS, "epochs": 1}).path
    heard = Heard()
    monkeypatch.setattr("swinkit.train.labelled._LAST_LOOK", {})  # as in a process of its own
    assert go_on(run, {"verdict": True, "cache": 0.5}, heard).verdict == read_verdict(run)
    assert yaml.safe_load((run / "verdict" / "pretrained" / "config.yaml").read_text())["cache"] == 0.5
    assert heard.totals[0] == 78  # pictures of the labelled set, which take their time here too
    assert go_on(run, {"verdict": False}, Heard()).verdict is None


def test_a_labelled_set_that_changed_is_looked_at_anew(tmp_path):
    probe = labelled(tmp_path / "probe", a=8, b=8)
    settings, heard = PretrainSettings(data="digits", probe=str(probe)), Heard()
    announce(settings, heard)
    labelled(probe, c=12)
    announce(settings, heard)
    assert heard.totals == [16, 28]
    assert len(set(heard.said)) == 4  # of either set on how many features are judged, and what the verdict costs
