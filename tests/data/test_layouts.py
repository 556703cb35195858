"""Every layout of docs/data.md is recognised, says why, and reads back what was written."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swinkit.data.bundled import BUNDLED, DEBIAN, open_bundled
from swinkit.data.check import examine
from swinkit.data.folders import SPLITS
from swinkit.data.idx import read_idx
from swinkit.data.layouts import open_data, open_unlabelled
from swinkit.data.split import make_split
from swinkit.errors import DataError, UsageError

from .pictures import class_folders, colourful


def write_idx(path: Path, values: np.ndarray, declared: tuple[int, ...] | None = None) -> None:
    shape = declared or values.shape
    body = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + values.tobytes()
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)


def test_class_folders(tmp_path):
    collection = open_data(class_folders(tmp_path))
    assert (collection.layout, collection.classes, len(collection)) == ("folders", ("cat", "dog"), 12)
    assert "class folders directly inside: 2 of them (cat, dog)" in collection.reason
    assert collection.samples[0].source == "cat/0.png"
    assert collection.samples[0].split is None
    assert np.array_equal(collection.read(0), np.asarray(colourful(0)))


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "testing"), ("train", "dev", "test")])
def test_class_folders_with_splits(tmp_path, names):
    for name, classes in zip(names, (("cat", "dog"), ("cat", "dog"), ("dog",)), strict=True):
        class_folders(tmp_path / name, classes, 2)
    collection = open_data(tmp_path)
    assert collection.classes == ("cat", "dog")
    assert {sample.split for sample in collection.samples} == {"train", "val", "test"}
    assert [sample.labels for sample in collection.samples if sample.split == "test"] == [(1,), (1,)]


@pytest.mark.parametrize("names", [("test",), ("Valid",), ("val", "test")])
def test_splits_without_a_training_set_are_splits_where_they_hold_class_folders(tmp_path, names):
    for name in names:
        class_folders(tmp_path / name, ("boot", "shoe"), 2)
    collection = open_data(tmp_path)
    assert collection.classes == ("boot", "shoe")
    assert {sample.split for sample in collection.samples} == {SPLITS[name.lower()] for name in names}
    with pytest.raises(DataError, match=f"no picture to train on; .* {4 * len(names)} kept for val or test"):
        make_split(collection)
    assert "class-not-in-training" in {item.kind for item in examine(collection).items}


def test_classes_that_are_called_like_splits_are_classes(tmp_path):
    assert open_data(class_folders(tmp_path, ("test", "val"), 2)).classes == ("test", "val")


def test_a_class_called_test_is_a_class_without_a_train_folder(tmp_path):
    assert open_data(class_folders(tmp_path, ("test", "control"))).classes == ("control", "test")


def test_a_class_called_train_is_a_class_beside_others(tmp_path):
    """Vehicles, for one. Without labels a folder of that name is a training set all the same."""
    class_folders(tmp_path, ("bus", "train"), 2)
    assert open_data(tmp_path).classes == ("bus", "train")
    assert {sample.split for sample in open_unlabelled(tmp_path).samples} == {None, "train"}


def test_pictures_lie_deeper_and_other_files_are_listed(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "cat/deep/er").mkdir(parents=True)
    colourful(9).save(tmp_path / "cat/deep/er/x.png")
    (tmp_path / "cat/notes.txt").write_text("no picture")
    (tmp_path / "stray.png").write_bytes(b"")
    collection = open_data(tmp_path)
    assert "cat/deep/er/x.png" in {sample.source for sample in collection.samples}
    assert dict(collection.skipped) == {
        "cat/notes.txt": "is no picture by its name",
        "stray.png": "lies outside the class folders",
    }


def test_without_labels_every_picture_is_read_and_split_folders_are_kept_apart(tmp_path):
    splits = {
        "beside.png": None,
        "more/deep/a.png": None,
        "test/b.png": "test",
        "train/c.png": "train",
        "train/cat/d.png": "train",
    }
    for number, name in enumerate(splits):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        colourful(number).save(tmp_path / name)
    collection = open_unlabelled(tmp_path)
    assert {sample.source: sample.split for sample in collection.samples} == splits
    assert collection.reason == "pictures in folders whose names are left aside, but for test, train"


def test_flat_pictures_have_no_labels(tmp_path):
    colourful().save(tmp_path / "a.png")
    collection = open_data(tmp_path)
    assert (collection.layout, collection.classes, collection.samples[0].labels) == ("pictures", (), ())


@pytest.mark.parametrize("name", ["metadata.csv", "labels.csv", "anything.csv"])
def test_csv_manifest(tmp_path, name):
    class_folders(tmp_path, ("p",), 3)
    (tmp_path / name).write_text("file_name,label,split,group\np/0.png,10,train,a\np/1.png,9,valid,b\np/2.png,9,,\n")
    collection = open_data(tmp_path / name)
    assert collection.classes == ("9", "10")
    assert [(s.labels, s.split, s.group) for s in collection.samples] == [
        ((1,), "train", "a"), ((0,), "val", "b"), ((0,), None, None),
    ]  # fmt: skip
    assert np.array_equal(collection.read(2), np.asarray(colourful(2)))
    if name != "anything.csv":
        assert open_data(tmp_path).layout == "manifest"


def test_spaces_behind_the_commas_of_a_csv_are_no_part_of_names(tmp_path):
    for number, name in enumerate("ab"):
        colourful(number).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("file_name, label, split\na.png, cat, train\nb.png, dog, val\n")
    collection = open_data(tmp_path)
    assert collection.classes == ("cat", "dog")
    assert [sample.split for sample in collection.samples] == ["train", "val"]


def test_jsonl_manifest_of_several_labels(tmp_path):
    class_folders(tmp_path, ("p",), 3)
    rows = [
        {"image_path": "p/0.png", "labels": ["b", "a"]},
        {"image_path": "p/1.png", "labels": []},
        {"image_path": "p/2.png", "labels": ["b"]},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    collection = open_data(tmp_path)
    assert collection.multi_label
    assert collection.label_matrix([0, 1, 2]).tolist() == [[1, 1], [0, 0], [0, 1]]


def test_csv_of_several_labels_as_json_lists(tmp_path):
    (tmp_path / "m.csv").write_text('file_name,labels\na.png,"[""cat"", ""a;b""]"\nb.png,[]\n')
    collection = open_data(tmp_path / "m.csv")
    assert collection.classes == ("a;b", "cat")
    assert [set(sample.labels) for sample in collection.samples] == [{0, 1}, set()]
    (tmp_path / "m.csv").write_text('file_name,labels\na.png,"[cat"\n')
    with pytest.raises(DataError, match=r"line 2: labels .* begin like a JSON list and are none"):
        open_data(tmp_path / "m.csv")


def test_what_lies_beside_the_folders_of_splits_is_listed(tmp_path):
    for place in ("train/a/0.png", "train/b/1.png", "vall/a/2.png", "3.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / place)
    (tmp_path / "notes.txt").touch()
    collection = open_data(tmp_path)
    assert len(collection) == 2
    assert collection.skipped == (("vall/", "lies outside train"), ("3.png", "lies outside train"))


def test_csv_of_several_labels(tmp_path):
    (tmp_path / "m.csv").write_text('file_name,labels\na.png,"cat; dog"\nb.png,cat|emu\nc.png,\n')
    collection = open_data(tmp_path / "m.csv")
    assert collection.multi_label
    assert [sample.labels for sample in collection.samples] == [(0, 1), (0, 2), ()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,label\n,cat\n", "line 2: no file_name or image_path"),
        ("picture,label\na.png,cat\n", "columns are picture, label"),
        ("file_name,label,split\na.png,cat,holdout\n", "split 'holdout'; expected train, val or test"),
        ("file_name,label\na.png,cat,dog\n", "more cells than the header"),
        ("", "no pictures"),
    ],
)
def test_manifest_errors_name_the_line(tmp_path, text, said):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        open_data(tmp_path / "m.csv")


@pytest.mark.parametrize("line", ["{", "[1]", '{"file_name": 3}', '{"file_name": "a.png", "label": {"x": 1}}'])
def test_jsonl_errors_name_the_line(tmp_path, line):
    (tmp_path / "m.jsonl").write_text('{"file_name": "a.png", "label": "cat"}\n' + line)
    with pytest.raises(DataError, match="line 2"):
        open_data(tmp_path / "m.jsonl")


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx(tmp_path, ending):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    for part, rows in (("train", slice(3)), ("t10k", slice(3, 5))):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{ending}", images[rows])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{ending}", np.arange(5, dtype=np.uint8)[rows])
    collection = open_data(tmp_path)
    assert (collection.layout, collection.channels, collection.classes) == ("idx", 1, ("0", "1", "2", "3", "4"))
    for index, sample in enumerate(collection.samples):
        number = sample.labels[0]
        assert np.array_equal(collection.read(index)[..., 0], images[number])
        assert sample.split == ("train" if number < 3 else "test")
        assert collection.path(index) is None


def test_idx_labels_may_begin_anywhere_and_leave_some_out(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((3, 3, 3), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([3, 1, 2], np.uint8))
    data = open_data(tmp_path)
    assert (data.classes, [sample.labels for sample in data.samples]) == (("1", "2", "3"), [(2,), (0,), (1,)])
    (tmp_path / "classes.txt").write_text("a\nb\nc\n", encoding="utf-8-sig")
    assert (open_data(tmp_path).classes, open_data(tmp_path).samples[0].labels) == (("a", "b", "c"), (2,))
    (tmp_path / "classes.txt").write_bytes("a\nKäse\nc\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"classes\.txt: .*byte 0xe4.* Mend: save it as UTF-8"):
        open_data(tmp_path)
    (tmp_path / "classes.txt").write_text("none\na\nb\nc\nd\n")
    assert (open_data(tmp_path).classes[3], open_data(tmp_path).samples[0].labels) == ("c", (3,))


@pytest.mark.parametrize(("labels", "names"), [((3, 1, 2), "abcd"), ((1, 3, 5), "abc"), ((0, 1, 9), "abc"), ((0, 1, 1), "aab")])
def test_names_that_may_be_of_other_labels_are_refused(tmp_path, labels, names):
    """A line more than labels that begin at 1 may be of 0, or of one behind the last."""
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((3, 3, 3), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array(labels, np.uint8))
    (tmp_path / "classes.txt").write_text("\n".join(names) + "\n")
    with pytest.raises(
        DataError,
        match=f"{len(names)} lines; expected one distinct name for each of the labels 0 to {max(labels)}, or, where they begin at 1",
    ):
        open_data(tmp_path)


def test_idx_errors(tmp_path):
    images = tmp_path / "train-images-idx3-ubyte"
    write_idx(images, np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(DataError, match="labels are missing"):
        open_data(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="do not belong together"):
        open_data(tmp_path)
    for declared in ((2, 3, 4), (1, 3, 3), (2**31, 2**31, 2**31)):
        write_idx(images, np.zeros((2, 3, 3), np.uint8), declared)
        with pytest.raises(DataError, match="declares"):
            read_idx(images)


@settings(deadline=None)
@given(data=st.binary(max_size=40))
def test_idx_of_any_bytes_is_an_array_or_a_data_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("idx") / "a-images-idx3-ubyte"
    path.write_bytes(data)
    try:
        values = read_idx(path)
    except DataError:
        return
    assert values.tobytes() == data[4 + 4 * values.ndim :]


def test_bundled_sets():
    digits, fashion = open_bundled("digits"), open_data("fashion-mini")
    assert (len(digits), digits.pixels.shape[1:], digits.pixels.max()) == (1797, (8, 8, 1), 255)
    assert (len(fashion), fashion.pixels.shape[1:], fashion.classes[9]) == (1000, (28, 28, 1), "Ankle boot")
    assert np.bincount([sample.labels[0] for sample in fashion.samples]).tolist() == [100] * 10
    assert fashion.fingerprint() != digits.fingerprint()


def test_a_path_is_no_name_of_a_bundled_set(tmp_path, monkeypatch):
    class_folders(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert [len(open_data(place)) for place in ("digits", "./digits", Path("digits"))] == [1797, 12, 12]
    assert len(open_data("digits", "folders")) == 12


def test_bundled_sets_are_small_and_licensed():
    from swinkit.data.bundled import ASSETS

    for name in ("digits", "fashion-mini"):
        assert (ASSETS / name / "LICENSE").is_file()
        assert sum(path.stat().st_size for path in (ASSETS / name).iterdir()) < 4_000_000


def test_fashion_is_named_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("SWINKIT_FASHION", str(tmp_path))
    with pytest.raises(DataError, match="dataset-fashion-mnist"):
        open_data("fashion")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mini_is_part_of_fashion_tests():
    whole = read_idx(DEBIAN / "t10k-images-idx3-ubyte.gz")
    mini = open_bundled("fashion-mini").pixels[..., 0]
    assert {picture.tobytes() for picture in mini} <= {picture.tobytes() for picture in whole}


def test_nothing_recognised_lists_what_was_sought_and_found(tmp_path):
    (tmp_path / "read.me").write_text("x")
    with pytest.raises(DataError, match=r"Looked for class folders.*Found read\.me"):
        open_data(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        open_data(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="No layout is called 'coco'"):
        open_data(tmp_path, "coco")
    assert set(BUNDLED) == {"digits", "fashion-mini", "fashion"}


def test_fingerprint_sees_names_labels_and_sizes(tmp_path):
    collection = open_data(class_folders(tmp_path))
    before = collection.fingerprint()
    assert open_data(tmp_path).fingerprint() == before
    (tmp_path / "cat/0.png").rename(tmp_path / "dog/x.png")
    moved = open_data(tmp_path).fingerprint()
    (tmp_path / "dog/x.png").write_bytes((tmp_path / "dog/x.png").read_bytes() + b"\0")
    assert len({before, moved, open_data(tmp_path).fingerprint()}) == 3


@pytest.mark.parametrize(("shape", "channels"), [((6, 5), 3), ((6, 5, 1), 3), ((6, 5, 3), 3), ((6, 5, 2), 2), ((6, 5, 13), 13)])
def test_arrays_are_read_with_the_channels_of_the_first_that_can_be_read(shape, channels, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "one.npy", np.zeros(shape, np.uint16))
    (tmp_path / "a/broken.npy").write_bytes(b"")
    collection = open_data(tmp_path)
    assert collection.channels == channels
    assert collection.read(1).shape == (6, 5, channels)


def test_numbers_of_one_value_have_an_order(tmp_path):
    """A set has none of its own: it changes from process to process."""
    names = ["0" * zeros + "7" for zeros in range(8)]
    rows = [f"{name}.png,{name}" for name in names]
    (tmp_path / "m.csv").write_text("\n".join(["file_name,label", *rows, "a.png,10"]))
    assert open_data(tmp_path / "m.csv").classes == (*sorted(names), "10")
