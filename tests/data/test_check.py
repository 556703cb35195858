from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swinkit.data.check import examine
from swinkit.data.duplicates import connected, exact, fingerprint, near
from swinkit.data.layouts import open_data
from swinkit.data.split import make_split

from .pictures import class_folders, colourful


def kinds(root) -> dict[str, str]:
    return {item.kind: item.message for item in examine(open_data(root)).items}


def test_sizes_and_progress(tmp_path):
    class_folders(tmp_path, each=2)
    told = []
    findings = examine(open_data(tmp_path), lambda done, total: told.append((done, total)))
    assert findings.sizes.tolist() == [[12, 16]] * 4
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert findings.to_dict()["height_width"] == {"smallest": [12, 16], "median": [12, 16], "largest": [12, 16]}


def test_no_more_pictures_wait_to_be_looked_at_than_a_few_for_each_core(tmp_path, monkeypatch):
    asked = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *given):
            asked.append(given)
            return super().submit(*given)

    monkeypatch.setattr("swinkit.data.ahead.ThreadPoolExecutor", Counted)
    monkeypatch.setattr("swinkit.data.check.usable_cores", lambda: 1)
    most = []
    examine(open_data(class_folders(tmp_path)), lambda done, total: most.append(len(asked) - done))
    assert len(asked) == len(most) == 12
    assert max(most) == 4


def test_bands_and_pages_that_are_not_read_are_told(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(3):
        bands = rng.integers(0, 256, (16, 16, 4), np.uint8)
        Image.frombytes("RGBX", (16, 16), bands.tobytes()).save(tmp_path / f"bands{index}.tif")
        pages = [Image.fromarray(bands[..., band]) for band in range(4)]
        pages[0].save(tmp_path / f"pages{index}.tif", save_all=True, append_images=pages[1:])
        pages[0].save(tmp_path / f"pyramid{index}.tif", save_all=True, append_images=[pages[0].resize((8, 8))])
        Image.frombytes("RGBA", (16, 16), bands.tobytes()).save(tmp_path / f"alpha{index}.tif")
        pages[0].save(tmp_path / f"animated{index}.gif", save_all=True, append_images=pages[1:])
    found = [item for item in examine(open_data(tmp_path)).items if item.kind == "unread"]
    assert [item.message.split(". ")[0] for item in found] == [
        "3 TIFFs of 4 bands, of which the first 3 are read",
        "3 TIFFs of 4 pages, of which the first is read",
    ]
    assert "store them as .npy" in found[0].message
    assert [len(item.samples) for item in found] == [3, 3]


def test_classes_that_the_own_validation_lacks_are_named(tmp_path):
    class_folders(tmp_path / "train", ("bird", "cat", "dog"))
    class_folders(tmp_path / "val", ("cat",), 2)
    assert (
        "2 of 3 classes without a validation picture, whose figures say nothing of them: 'bird', 'dog'"
        in kinds(tmp_path)["class-not-judged"]
    )
    class_folders(tmp_path / "val", ("bird", "dog"), 2)
    assert "class-not-judged" not in kinds(tmp_path)


def test_folds_train_on_what_the_data_validates_on(tmp_path):
    class_folders(tmp_path / "train", ("cat", "dog"))
    class_folders(tmp_path / "val", ("bird", "cat", "dog"))
    data = open_data(tmp_path)
    assert [item.kind for item in examine(data).errors] == ["class-not-in-training"]
    assert examine(data, folds=True).errors == ()


def test_exact_duplicates_across_splits_and_labels(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "val", each=2, size=(20, 20))
    for index in range(2):
        for name in ("cat", "dog"):
            colourful(900 + index + 10 * (name == "cat")).save(tmp_path / "val" / name / f"{index}.png")
    assert "duplicates-across-splits" not in kinds(tmp_path)
    shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "val/dog/copy.png")
    found = kinds(tmp_path)
    assert "1 group of exact duplicates" in found["duplicates-across-splits"]
    assert re.search(r"\('\w+/\w+/[\w.]+' and '\w+/\w+/[\w.]+' for one\)", found["duplicates-across-splits"])
    assert "duplicates-across-labels" in found


def test_near_duplicates_survive_recoding_and_a_drawn_split_keeps_them_together(tmp_path):
    class_folders(tmp_path, each=8, size=(60, 80))
    colourful(3, 60, 80).save(tmp_path / "cat/again.jpg", quality=70)
    colourful(103, 60, 80).resize((40, 30)).save(tmp_path / "dog/again.png")
    collection = open_data(tmp_path)
    findings = examine(collection)
    names = [{collection.samples[index].source for index in group} for group in findings.alike]
    assert names == [{"cat/3.png", "cat/again.jpg"}, {"dog/3.png", "dog/again.png"}]
    for seed in range(5):
        split = make_split(collection, findings.unusable, seed, 0.4, alike=findings.alike)
        assert all(len({index in split.val for index in group}) == 1 for group in findings.alike)


def test_plain_pictures_are_not_called_alike():
    plain = {index: fingerprint(np.full((20, 20, 3), index, np.uint8)) for index in range(20)}
    assert near(plain) == []
    assert exact(plain) == []
    assert exact({**plain, 99: plain[4]}) == [(4, 99)]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=4), max_size=12))
def test_connected_is_the_transitive_closure(links):
    reach = {index: {index} for link in links for index in link}
    for _ in range(20):
        for link in links:
            union = set().union(*(reach[index] for index in link))
            for index in union:
                reach[index] = set(union)
    wanted = {frozenset(group) for group in reach.values() if len(group) > 1}
    assert {frozenset(group) for group in connected(links)} == wanted


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_any_picture_has_a_fingerprint(channels, kind):
    assert fingerprint(np.zeros((3, 5, channels), kind)).thumbnail.shape == (16, 16)


def test_labels_that_differ_in_spelling_and_skewed_classes(tmp_path):
    class_folders(tmp_path, ("Cat", "cat "), 1)
    class_folders(tmp_path, ("dog",), 12)
    found = kinds(tmp_path)
    assert {"spelling", "few", "skewed", "tiny"} <= set(found)
    assert "1 to 12" in found["skewed"]


@pytest.mark.parametrize(("shape", "warned"), [((3, 30, 40), True), ((30, 40, 3), False), ((30, 40, 20), False)])
def test_arrays_with_the_channels_first_are_warned_of(tmp_path, shape, warned):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.random.default_rng(len(name)).integers(0, 256, shape, np.uint8))
    assert ("channels-first" in kinds(tmp_path)) == warned
    if warned:
        assert kinds(tmp_path)["channels-first"].startswith("2 arrays of a shape like (3, 30, 40), which looks like (channels,")


def test_unlabelled_pictures(tmp_path):
    colourful().save(tmp_path / "a.png")
    assert "unlabelled" in kinds(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,\na.png,x\na.png,y\n")
    assert "1 picture without a label" in kinds(tmp_path)["unlabelled"]


def test_an_accent_written_in_two_ways_is_a_spelling(tmp_path):
    """Composed, as most systems write it, and decomposed, as macOS does: they look the same."""
    class_folders(tmp_path, ("caf\u00e9", "cafe\u0301"), 1)
    assert "differ in spelling only" in kinds(tmp_path)["spelling"]


def test_twins_that_a_manifest_leaves_to_training_are_in_one_split(tmp_path):
    rows = ["a.png,x,train", "a.png,x,", "b.png,y,train"]
    for number, name in enumerate(("a.png", "b.png")):
        colourful(number).save(tmp_path / name)
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,label,split", *rows]))
    assert {"duplicates", "duplicates-across-splits"} & set(kinds(tmp_path)) == {"duplicates"}


def test_a_manifest_that_names_a_missing_file(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,label\ngone.png,x\n")
    assert examine(open_data(tmp_path)).unusable == {0: "cannot be read: No such file or directory"}


def test_a_picture_that_cannot_be_used_is_named_with_its_reason_and_where_it_was_sought(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    colourful().save(tmp_path / "good.png")
    rows = ["file_name,label", "good.png,x", "bad.png,x", "x/gone.png,y", "x/lost.png,y"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    said = kinds(tmp_path / "m.csv")["unusable"]
    assert "left out: 2 cannot be read, 1 zero bytes. For one, 'x/gone.png': cannot be read: No such file" in said
    assert said.endswith(f"Names are relative to the manifest's folder, {tmp_path}")
    (tmp_path / "m.csv").write_text("\n".join([rows[0], f"{'x' * 300}.png,x"]))
    assert "Names are relative" in kinds(tmp_path / "m.csv")["unusable"]
    (tmp_path / "m.csv").write_text("\n".join(rows[:3]))
    assert kinds(tmp_path / "m.csv")["unusable"].endswith("1 zero bytes. For one, 'bad.png': zero bytes")


def test_bundled_sets_are_sound():
    for name in ("digits", "fashion-mini"):
        findings = examine(open_data(name))
        assert not findings.unusable
        assert not findings.items


@pytest.mark.parametrize("labels", [1, 2])
def test_pictures_from_one_standpoint_are_parted_one_by_one(labels, tmp_path):
    """A camera that never moves: all look alike, and what they show differs."""
    chance = np.random.default_rng(0)
    scene = np.asarray(colourful(999), np.int16)
    class_folders(tmp_path, ("other",), 40)
    for number in range(40):
        frame = np.clip(scene + chance.integers(-2, 3, scene.shape), 0, 255).astype(np.uint8)
        name = tmp_path / ("bad" if number % labels else "good") / f"{number}.png"
        name.parent.mkdir(exist_ok=True)
        Image.fromarray(frame).save(name)
    data = open_data(tmp_path)
    findings = examine(data)
    assert findings.alike == ()
    (found,) = [item for item in findings.items if item.kind == "one-view"]
    assert (found.severity, len(found.samples)) == ("warning", 40)
    split = make_split(data, (), 0, 0.1, alike=findings.alike)
    assert {label for index in split.val for label in data.samples[index].labels} == set(range(len(data.classes)))


def test_channels_that_differ_are_not_alike_since_the_first_is_the_same():
    chance = np.random.default_rng(0)
    first = np.tile(np.arange(0, 128, 8, np.uint8), (16, 1))
    pictures = [np.stack([first, *chance.integers(0, 256, (3, 16, 16), np.uint8)], axis=-1) for _ in range(2)]
    assert near({number: fingerprint(picture) for number, picture in enumerate(pictures)}) == []


def test_many_copies_of_a_few_pictures_stay_together(tmp_path):
    for number in range(60):
        name = tmp_path / ("cat" if number % 2 else "dog") / f"{number}.jpg"
        name.parent.mkdir(exist_ok=True)
        colourful(number % 5 * 2 + number % 2).save(name, quality=70 + number // 10)
    data = open_data(tmp_path)
    findings = examine(data)
    assert sorted(map(len, findings.alike)) == [6] * 10
    assert "one-view" not in {item.kind for item in findings.items}


def test_of_one_standpoint_the_splits_of_the_data_are_told_and_groups_are_heeded(tmp_path):
    chance, scene = np.random.default_rng(0), np.asarray(colourful(999), np.int16)
    rows = []
    for number in range(24):
        frame = np.clip(scene + chance.integers(-2, 3, scene.shape), 0, 255).astype(np.uint8)
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "label": "ab"[number % 2], "split": ("train", "val")[number % 3 == 0]})
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    assert {"near-duplicates-across-splits", "near-duplicates-across-labels"} <= kinds(manifest).keys()
    assert "one-view" not in kinds(manifest)
    grouped = [
        {"file_name": row["file_name"], "label": row["label"], "group": str(number // 4)} for number, row in enumerate(rows)
    ]
    manifest.write_text("\n".join(map(json.dumps, grouped)))
    assert "one-view" not in kinds(manifest)
    manifest.write_text("\n".join(json.dumps({key: row[key] for key in ("file_name", "label")}) for row in rows))
    assert "24 of 24 pictures look alike" in kinds(manifest)["one-view"]
