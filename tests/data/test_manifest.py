"""What the columns of a manifest are taken for."""

from __future__ import annotations

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
