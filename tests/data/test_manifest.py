"""What the columns of a manifest are taken for."""

from __future__ import annotations

import csv
import json

import pytest

from swinkit.data.layouts import open_data
from swinkit.errors import DataError


def test_a_manifest_without_a_column_of_labels_says_which_columns_it_has(tmp_path):
    (tmp_path / "m.csv").write_text("file_name,class\na.png,cat\n")
    assert open_data(tmp_path / "m.csv").reason == "manifest m.csv: 1 row, no labels in its columns file_name, class"


def test_names_of_columns_may_stand_between_blanks(tmp_path):
    (tmp_path / "m.csv").write_text("file_name, label , group\na.png,cat,g\n")
    collection = open_data(tmp_path / "m.csv")
    assert (collection.classes, collection.samples[0].group) == (("cat",), "g")


def test_columns_that_are_not_read_are_named(tmp_path):
    (tmp_path / "m.csv").write_text(",id,file_name,label,width,source,sub_group\n0,1,a.png,cat,8,web,x\n")
    assert open_data(tmp_path / "m.csv").reason.endswith("one label each; columns not read: id, width, source, sub_group")


@pytest.mark.parametrize(
    ("header", "wrong", "meant"),
    [
        ("file_name,label,groups", "groups", "group"),
        ("file_name,label,spilt", "spilt", "split"),
        ("image_path,lable,split", "lable", "label"),
        ("file_name,labels,GROUP", "GROUP", "group"),
    ],
)
def test_a_misspelt_column_is_not_dropped(tmp_path, header, wrong, meant):
    (tmp_path / "m.csv").write_text(f"{header}\na.png,cat,train\n")
    with pytest.raises(DataError, match=f"nothing reads the column '{wrong}'. Did you mean '{meant}'?"):
        open_data(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text(f"{header},{meant}\na.png,cat,train,train\n")
    assert f"not read: {wrong}" in open_data(tmp_path / "m.csv").reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_what_spreadsheets_write_is_read(tmp_path, encoding, mark):
    rows = [["file_name", "label", "labels_note"], ["ä, b.png", "Katze", "x; y"], ["c.png", "Hund", "-"]]
    with open(tmp_path / "metadata.csv", "w", encoding=encoding, newline="") as stream:
        stream.write("\ufeff" if encoding in ("utf-16-le", "utf-16-be") else "")
        csv.writer(stream, delimiter=mark).writerows(rows)
    collection = open_data(tmp_path)
    assert collection.layout == "manifest"
    assert collection.classes == ("Hund", "Katze")
    assert [sample.source for sample in collection.samples] == ["ä, b.png", "c.png"]


def test_a_header_that_a_comma_parts_is_parted_by_nothing_else(tmp_path):
    (tmp_path / "m.csv").write_text("file_name,labels\na.png,cat;dog\n")
    assert open_data(tmp_path / "m.csv").classes == ("cat", "dog")


def test_a_cell_too_many_says_by_what_cells_are_parted(tmp_path):
    (tmp_path / "m.csv").write_text("file_name;labels\na.png;cat;dog\n")
    with pytest.raises(DataError, match=r"line 2: more cells than the header has columns; quote names with semicolons"):
        open_data(tmp_path / "m.csv")


def test_half_a_character_of_utf_16_is_no_traceback(tmp_path):
    (tmp_path / "m.csv").write_bytes("file_name,label\na.png,cat\n".encode("utf-16")[:-1])
    with pytest.raises(DataError, match=r"m\.csv: .*truncated"):
        open_data(tmp_path / "m.csv")


@pytest.mark.parametrize("encoding", ["cp1252", "cp1251"])
@pytest.mark.parametrize("field", ["label", "labels", "group"])
def test_names_in_an_old_encoding_are_refused_with_their_line_and_the_mend(tmp_path, encoding, field):
    word = "Käse" if encoding == "cp1252" else "сыр"
    (tmp_path / "m.csv").write_bytes(f"file_name,{field}\na.png,x\nb.png,{word}\n".encode(encoding))
    with pytest.raises(DataError, match=r"m\.csv, line 3: '.*x[ef].*' is not UTF-8\. Mend: save the file as CSV UTF-8"):
        open_data(tmp_path / "m.csv")
    (tmp_path / "m.jsonl").write_bytes(f'{{"file_name": "b.png", "{field}": "{word}"}}'.encode(encoding))
    with pytest.raises(DataError, match=r"m\.jsonl, line 1: .* is not UTF-8\. Mend: save the file as JSON lines in UTF-8"):
        open_data(tmp_path / "m.jsonl")


def test_a_name_of_a_file_may_hold_any_bytes(tmp_path):
    (tmp_path / "m.csv").write_bytes("file_name,label\nä.png,cat\n".encode("cp1252"))
    assert open_data(tmp_path / "m.csv").samples[0].source == "\udce4.png"


@pytest.mark.parametrize("field", ["file_name", "label", "group"])
def test_half_a_character_that_json_escapes_is_refused_with_its_line(tmp_path, field):
    row = {"file_name": "a.png", "label": "a", "group": "g"}
    (tmp_path / "m.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps({**row, field: chr(0xD800)})}")
    with pytest.raises(DataError, match=r"m\.jsonl, line 2: '.ud800' holds half a character"):
        open_data(tmp_path / "m.jsonl")


def test_whole_numbers_are_one_class_however_json_has_them(tmp_path):
    lines = [
        '{"file_name": "a", "label": 1}',
        '{"file_name": "b", "label": 1.0, "group": 2.0}',
        '{"file_name": "c", "labels": [2.0]}',
    ]
    (tmp_path / "m.jsonl").write_text("\n".join([*lines, '{"file_name": "d", "label": 0.5, "group": 2}']))
    collection = open_data(tmp_path / "m.jsonl")
    assert collection.classes == ("0.5", "1", "2")
    assert collection.samples[1].group == collection.samples[3].group == "2"


def test_cells_that_a_table_left_empty_are_none_and_a_number_is_one_name(tmp_path):
    rows = [
        {"file_name": "a.png", "label": "cat", "group": float("nan")},
        {"file_name": "b.png", "label": float("nan"), "split": float("nan")},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = open_data(tmp_path / "m.jsonl")
    assert data.classes == ("cat",)
    assert [(sample.labels, sample.split, sample.group) for sample in data.samples] == [((0,), None, None), ((), None, None)]
    rows = [{"file_name": "a.png", "labels": 1.0}, {"file_name": "b.png", "labels": [1.0, 2]}]
    (tmp_path / "n.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert open_data(tmp_path / "n.jsonl").classes == ("1", "2")
