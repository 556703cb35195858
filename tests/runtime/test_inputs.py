import io
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinkit.runtime.inputs import Input, expand, inspect, read_list


def names(items):
    return [item.name for item in items]


def test_a_folder_is_read_recursively_in_order_without_hidden_entries(tmp_path):
    for name in ("b.png", "a/z.png", "a/y.txt", "a/.hidden.png", ".git/c.png", "c/d/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = ["a/y.txt", "a/z.png", "b.png", "c/d/e.png"]
    assert names(expand([str(tmp_path)])) == [os.path.join(tmp_path, name) for name in expected]


def test_arguments_keep_their_order_and_may_repeat(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).touch()
    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    assert names(expand([second, first, second])) == [second, first, second]


def test_a_pattern_expands_only_where_no_such_file_exists(tmp_path):
    for name in ("x1.png", "x2.png", "[x].png", "deep/x3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = names(expand([f"{tmp_path}/**/x*.png"]))
    assert sorted(map(os.path.basename, found)) == ["x1.png", "x2.png", "x3.png"]
    assert found == sorted(found)
    assert names(expand([f"{tmp_path}/[x].png"])) == [f"{tmp_path}/[x].png"]


@pytest.mark.parametrize("pattern", ["ph/**", "ph/**/*", "p*", "ph/**/**", "./ph/**", "**"])
def test_a_pattern_gives_each_file_once_whatever_folders_it_finds(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    expected = ["ph/a.png", "ph/sub/b.png", "ph/sub/deep/c.png", "ph/sub-2/d.png"]
    for name in expected:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "ph" / "empty").mkdir()
    assert sorted(os.path.normpath(item.name) for item in expand([pattern]) if not item.fault) == sorted(expected)


@pytest.mark.parametrize("what", ["missing.png", "empty", "no*match"])
def test_what_gives_nothing_is_one_input_with_its_reason(tmp_path, what):
    (tmp_path / "empty").mkdir()
    (item,) = expand([str(tmp_path / what)])
    assert item.name == str(tmp_path / what)
    assert item.fault


@pytest.mark.parametrize(
    ("what", "mend"),
    [
        ("sho.png", r"no such file\. Did you mean 'shoe.png'\?"),
        ("missing.png", r"no such file\. Expected .* JPEG, .*or \.npy"),
        ("nowhere/shoe.png", r"no such file\. Expected"),
        ("no.txt", r"no such file\. Expected"),
    ],
)
def test_a_typed_name_is_told_with_what_was_meant(tmp_path, what, mend):
    for name in ("shoe.png", "note.txt"):
        (tmp_path / name).touch()
    (item,) = expand([str(tmp_path / what)])
    assert re.match(mend, item.fault)
    assert inspect(str(tmp_path / what)).fault == "no such file"  # one of many in a list looks through no folder


def test_fault_20_links_pipes_and_devices_are_told_apart_without_opening_them(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "real.png").touch()
    (tmp_path / "photos" / "again").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "circle").symlink_to("circle")
    (tmp_path / "photos" / "nothing").symlink_to("missing")
    (tmp_path / "photos" / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "photos" / "pipe")
    found = {os.path.basename(item.name): item.fault for item in expand([str(tmp_path / "photos")])}
    assert set(found) == {"real.png", "again", "circle", "nothing", "zero", "pipe"}
    assert [name for name, fault in found.items() if fault is None] == ["real.png"]
    assert "already read" in found["again"]
    assert "device" in found["zero"]
    assert "FIFO" in found["pipe"]
    assert "nothing" in found["nothing"]


def test_fault_20_an_unreadable_folder_is_reported(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (tmp_path / "locked").mkdir(mode=0)
    (item,) = expand([str(tmp_path)])
    assert "ermission" in item.fault


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name), max_size=8))
def test_fault_21_a_list_separated_by_nul_gives_every_name_back(raw):
    found = [os.fsencode(item.name) for item in read_list(io.BytesIO(b"".join(name + b"\0" for name in raw)), null=True)]
    assert found == raw


def test_a_list_may_come_slowly_and_end_without_a_newline(tmp_path):
    class Slow(io.BytesIO):
        def read1(self, size=-1):
            return super().read1(3)

    assert names(read_list(Slow(b"one.png\n\ntwo three.png\n-four"))) == ["one.png", "two three.png", "-four"]


def test_a_list_of_windows_names_the_files_that_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "b.png\r"):
        (tmp_path / name).touch()
    listed = b"a.png\r\n\r\nb.png\r\nc.png\r\n"
    found = list(read_list(io.BytesIO(listed)))
    assert names(found) == ["a.png", "b.png\r", "c.png"]
    assert [item.fault for item in found] == [None, None, "no such file"]
    assert names(read_list(io.BytesIO(b"a.png\r\0"), null=True)) == ["a.png\r"]


def test_a_folder_in_a_list_is_one_input(tmp_path):
    (item,) = read_list(io.BytesIO(os.fsencode(tmp_path) + b"\n"))
    assert "a folder" in item.fault


def test_names_that_no_system_takes_are_inputs_too():
    assert inspect("a\0b").fault
    assert inspect("x" * 5000).fault
    assert isinstance(inspect(""), Input)
