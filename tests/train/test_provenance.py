"""What a model learned from before is known again where another run, or whoever judges it, keeps those pictures aside."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import swinkit
from swinkit.cli.main import run as command
from swinkit.data.layouts import open_data
from swinkit.data.split import Split
from swinkit.train import fit, pretrain, resume
from swinkit.train.provenance import seen_by
from swinkit.train.session import ready
from swinkit.train.settings import TrainSettings

from .crash import make_pictures
from .pictures import TINY
from .running import Heard

SETTINGS = {**TINY, "image_size": 16, "epochs": 1, "workers": 0, "val": 0.25}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("provenance") / "pictures")


@pytest.fixture(scope="module")
def first(pictures):
    return fit(pictures, out=pictures.parent / "first", **SETTINGS).path


def recorded(run):
    data = json.loads((run / "data.json").read_text())
    return data, Split.from_dict(data["split"])


def without_files(run):
    return {name: value for name, value in recorded(run)[0].items() if name != "files"}


def learned_from(run):
    return swinkit.load(run).metadata["learned_from"]


def judged(run, capsys, *more):
    assert command(["evaluate", str(run), "--json", *more]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out)["data"], printed.err


def test_pictures_seen_without_labels_are_told_of_and_carried_on(pictures, tmp_path, capsys):
    encoder = pretrain(pictures, "swin_nano", tmp_path / "encoder", cell=2, **{**SETTINGS, "val": 0.1}).path
    heard = Heard()
    tuned = fit(pictures, encoder, tmp_path / "tuned", display=heard, **{**SETTINGS, "swin": None}).path
    known, split = recorded(encoder)[1].train, recorded(tuned)[1]
    both = len(set(known) & set(split.val))
    assert recorded(tuned)[0]["seen"] == {"labels": [], "pictures": list(known), "complete": True}
    assert both > 0
    assert [note for note in heard.said if f"note: {both} of the {len(split.val)} pictures kept aside were seen" in note]
    where, told = judged(tuned, capsys)
    assert (where["trained_on"], where["seen_without_labels"]) == (0, both)
    assert f"{both} of the {len(split.val)} judged pictures were seen without labels" in told
    before = {"set": "pictures", "labels": False, "pictures": len(known), "epochs": 1}
    assert learned_from(encoder) == before
    assert learned_from(tuned) == {
        "set": "pictures",
        "labels": True,
        "pictures": len(split.train),
        "epochs": 1,
        "before": before,
    }


def test_pictures_learned_from_with_labels_by_the_model_begun_with_count_as_trained_on(first, pictures, tmp_path, capsys):
    heard = Heard()
    second = fit(pictures, first, tmp_path / "second", display=heard, **{**SETTINGS, "swin": None, "seed": 1}).path
    both = set(recorded(first)[1].train) & set(recorded(second)[1].val)
    assert both
    assert [note for note in heard.said if note.startswith(f"warning: {len(both)} of the ")]
    where, told = judged(second, capsys)
    assert where["trained_on"] == len(both)
    assert "Mend: judge on other data" in told
    third = ready(TrainSettings(data=str(pictures), model=str(second), **{**SETTINGS, "swin": None}), Heard())
    assert set(third.data["seen"]["labels"]) == {*recorded(first)[1].train, *recorded(second)[1].train}
    assert resume(second).epochs == 1


def test_the_same_parts_are_no_cause_for_doubt(first, pictures, tmp_path, capsys):
    heard = Heard()
    again = fit(pictures, first, tmp_path / "again", display=heard, **{**SETTINGS, "swin": None}).path
    assert not [note for note in heard.said if "kept aside" in note]
    where, told = judged(again, capsys, "-q")
    assert (where["trained_on"], where["seen_without_labels"], told) == (0, 0, "")


def test_a_run_is_known_by_its_weights_too(first, pictures):
    trained = list(recorded(first)[1].train)
    for name in (first, first / "model", first / "model" / "model.safetensors"):
        assert list(seen_by(str(name), open_data(pictures)).labels) == trained


@pytest.mark.parametrize("place", ["downloads/model.safetensors", "model/theirs.pth", "best.pth"])
def test_weights_that_lie_in_a_run_are_not_the_runs_own(place, first, pictures, tmp_path):
    theirs = shutil.copytree(first, tmp_path / "run") / place
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_bytes(b"")
    assert not seen_by(str(theirs), open_data(pictures)).labels


@pytest.mark.parametrize(
    ("file", "text"), [("data.json", None), ("data.json", "{"), ("data.json", "[]"), ("config.yaml", "- no settings")]
)
def test_where_a_run_does_not_say_what_it_learned_from_that_is_said_to_be_unknown(file, text, first, pictures, tmp_path):
    moved = shutil.copytree(first, tmp_path / "moved")
    (moved / file).write_text(text or json.dumps(without_files(first) | {"fingerprint": "another"}))
    heard = Heard()
    plan = ready(TrainSettings(data=str(pictures), model=str(moved), **{**SETTINGS, "swin": None}), heard)
    assert [note for note in heard.said if "is not known" in note]
    assert plan.data["seen"] == {"labels": (), "pictures": (), "complete": False}


def test_what_was_not_known_at_the_start_is_not_known_of_what_comes_after(first, pictures, tmp_path, capsys):
    moved = shutil.copytree(first, tmp_path / "moved")
    (moved / "data.json").write_text(json.dumps(without_files(first) | {"fingerprint": "another"}))
    second = fit(pictures, moved, tmp_path / "second", **{**SETTINGS, "swin": None}).path
    where, told = judged(second, capsys)
    assert where["trained_on"] is None
    assert "Not all that the model, or what it began with, learned from is known" in told
    third = ready(
        TrainSettings(data=str(pictures), model=str(second), **{**SETTINGS, "swin": None, "seed": 1}), heard := Heard()
    )
    assert third.data["seen"] == {"labels": recorded(second)[1].train, "pictures": (), "complete": False}
    assert [note for note in heard.said if note.startswith("warning: ") and "learned from by" in note]
    assert [note for note in heard.said if "is not known in full" in note]


def grown(pictures, folder):
    """A copy of ``pictures`` in ``folder``, a run that learned from it, and then one more picture."""
    data = shutil.copytree(pictures, folder / "pictures")
    run = fit(data, out=folder / "run", **SETTINGS).path
    some = next(path for path in data.rglob("*.png"))
    noise = np.random.default_rng(7).integers(0, 255, np.asarray(Image.open(some)).shape, dtype=np.uint8)
    Image.fromarray(noise).save(some.with_name("one-more.png"))
    return data, run


def test_of_a_set_that_grew_what_was_trained_on_is_known_and_left_out(pictures, tmp_path, capsys):
    data, run = grown(pictures, tmp_path)
    split = recorded(run)[1]
    where, told = judged(run, capsys, str(data))
    assert (where["split"], where["trained_on"]) == ("new", 0)
    assert f"{len(split.train)} pictures left out that the run was trained on" in told
    assert f"Judging on {len(split.val) + 1} new pictures" in told
    where, told = judged(run, capsys, str(data), "--split", "all", "-q")
    assert where["trained_on"] == len(split.train)
    assert f"warning: {len(split.train)} of the " in told


def test_a_set_that_grew_is_known_by_whoever_goes_on_with_the_model(pictures, tmp_path):
    data, run = grown(pictures, tmp_path)
    collection = open_data(data)
    learned = [collection.samples[index].source for index in seen_by(str(run), collection).labels]
    assert sorted(learned) == sorted(recorded(run)[0]["files"][index] for index in recorded(run)[1].train)


def test_where_pictures_lie_follows_them(pictures, tmp_path):
    data = shutil.copytree(pictures, tmp_path / "pictures")
    run = fit(data, out=tmp_path / "run", **SETTINGS).path
    moved = shutil.move(data, tmp_path / "moved")
    resume(run, {"data": str(moved)})
    assert recorded(run)[0]["root"] == str(moved)
    assert list(seen_by(str(run), open_data(moved)).labels) == list(recorded(run)[1].train)


def test_a_copy_of_what_was_learned_from_is_not_judged_as_new(pictures, tmp_path, capsys):
    data, run = grown(pictures, tmp_path)
    learned = data / recorded(run)[0]["files"][recorded(run)[1].train[0]]
    shutil.copy(learned, learned.with_name("twin.png"))
    where, told = judged(run, capsys, str(data))
    assert (where["split"], where["trained_on"]) == ("new", 0)
    assert f"Judging on {len(recorded(run)[1].val) + 1} new pictures" in told


def test_a_set_that_moved_is_known_whole_and_doubted_once_it_has_changed(pictures, tmp_path, capsys):
    """The same pictures are the run's own, wherever they lie; of others with the same names nothing is claimed."""
    run = fit(pictures, out=tmp_path / "run", **SETTINGS).path
    moved = shutil.copytree(pictures, tmp_path / "moved")
    assert seen_by(str(run), open_data(moved)).labels == recorded(run)[1].train
    some = next(path for path in moved.rglob("*.png"))
    shutil.copy(some, some.with_name("one-more.png"))
    where, told = judged(run, capsys, str(moved))
    assert where["trained_on"] is None
    assert "whether they are among the judged ones is not known" in told


def test_a_run_of_an_earlier_version_is_known_by_the_set_that_it_names(first, pictures, tmp_path):
    earlier = shutil.copytree(first, tmp_path / "earlier")
    (earlier / "data.json").write_text(json.dumps(without_files(first)))
    grew = shutil.copytree(pictures, tmp_path / "pictures")
    collection = open_data(pictures)
    assert seen_by(str(earlier), collection).labels == recorded(first)[1].train
    (next(grew.rglob("*.png"))).unlink()
    assert not seen_by(str(earlier), open_data(grew)).complete


def test_that_the_run_validated_on_new_pictures_is_said_where_a_temperature_was_fitted_to_them(pictures, tmp_path, capsys):
    data, run = grown(pictures, tmp_path)
    config = json.loads((run / "model" / "config.json").read_text())
    (run / "model" / "config.json").write_text(json.dumps(config | {"temperature": 0.5}))
    split = recorded(run)[1]
    _, told = judged(run, capsys, str(data))
    assert f"0.5 that the model carries was fitted to {len(split.val)} of these pictures, on which the run validated" in told
